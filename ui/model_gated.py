"""How to get a model whose makers want their terms accepted first: its page, a token, a login."""

from __future__ import annotations

from core.models.hub import endpoint, logged_in, token_page
from ui.bench import Bench
from ui.html import button, checks, esc, notice


def gated_html(bench: Bench, name: str) -> str:
    """The steps with their links. The token goes to the hub's own library, which keeps it."""
    page, inside = _link(f"{endpoint()}/{name}", "its page on the hub"), logged_in()
    steps = [f"Open {page}, log in there and accept its terms. Some makers answer by hand."]
    if not inside:
        steps.append(f"Make a token of type Read on {_link(token_page(), 'your token page')}.")
    items = "".join(f"<li>{step}</li>" for step in steps)
    known = checks([("ok", "You are logged in to the hub on this machine.")])
    return (
        '<section class="lg-gated" id="model-gated"><h4>Gated: its makers want their terms accepted</h4>'
        f'<ol class="lg-steps">{items}</ol>{known if inside else _login_html(bench)}</section>'
    )


def _link(address: str, words: str) -> str:
    return f'<a href="{esc(address)}" target="_blank" rel="noopener noreferrer">{esc(words)}</a>'


def _login_html(bench: Bench) -> str:
    """The field for the token, and how the login went."""
    what = 'id="model-token" type="password" data-name="hub-token" value="" autocomplete="off"'
    field = f'<label class="lg-field" for="model-token">Paste the token here<input {what}></label>'
    words = "It is kept by the Hugging Face library in its own file, never in a file of this app."
    errand = bench.models.login()
    told = ""
    if errand is not None and errand.status == "failed":
        told = notice("bad", "The login did not work", errand.message)
    elif errand is not None and errand.status == "running":
        told = '<p class="lg-help" role="status">Asking the hub about the token …</p>'
    log_in = button("model-log-in", "log-in", "Log in")
    return f'<div class="lg-ask">{field}{log_in}</div><p class="lg-help lg-kept">{words}</p>{told}'
