//! Analyzer: singular values, condition numbers, ranks, random-matrix references and power laws.
#![forbid(unsafe_code)]
