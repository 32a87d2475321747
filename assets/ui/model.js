// The Model step: shows the catalogue's rows that match what is typed and chosen above them.
"use strict";
