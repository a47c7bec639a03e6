//! Rate, errors, duration: the request metrics per service.
