//! Typed reads of environment variables; every fault is collected, so that one start names them all.
