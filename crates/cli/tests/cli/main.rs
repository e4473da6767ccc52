//! The program as users and scripts meet it: every test runs the real binary.
#![cfg(unix)]

mod common;
mod compare;
mod damage;
mod exit_codes;
mod formats;
mod hostile;
mod hub;
mod plan;
mod plot;
mod pytorch;
mod same_bytes;
mod saved;
mod settings;
mod signals;
mod stored;
mod words;
