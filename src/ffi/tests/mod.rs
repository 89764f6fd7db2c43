//! Tests of the border that need its inside: secrets on their way out, the host's place for tokens, and what memory they leave behind.

pub mod freed;
mod secrets;
