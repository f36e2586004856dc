//! Makes visible what happened, from records; it cannot steer.

mod ring;

pub use ring::Ring;
