//! The kinds of job: what each carries, gives back, and how it is retried. One file per kind; no IO.

pub mod triage;
