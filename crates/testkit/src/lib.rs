//! stub

pub mod checkpoint;
