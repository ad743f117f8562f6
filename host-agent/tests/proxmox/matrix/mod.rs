//! Whole bring-ups through the companion itself, each with one thing that goes wrong.

mod plain;
