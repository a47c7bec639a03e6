//! The one way that data flows: records in, metrics and spans out.
