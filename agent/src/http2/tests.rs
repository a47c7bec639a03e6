//! Records of made-up connections, and the exchanges that come of them.

mod calls;
mod losses;
mod resume;
mod splits;
mod streams;
mod wire;

use super::*;
use crate::exchange::{ErrorCode, ErrorType, Exchange, Method, Protocol};
use crate::rpc::Code;
