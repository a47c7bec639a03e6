//! The agent's own HTTP endpoints: `/metrics`, `/healthz`, `/readyz`.
