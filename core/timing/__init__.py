"""How long a training takes and what it draws: operations a token, what a card does a second, energy."""
