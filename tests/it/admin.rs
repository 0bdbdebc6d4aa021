//! Looking after the whole fleet: who works, what is held still, and who may see to it.

mod workers;
