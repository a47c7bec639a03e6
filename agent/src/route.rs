//! `http.route` from a path: configured templates, or identifiers folded.
