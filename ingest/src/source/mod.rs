//! Where events come from besides HTTP: what each source hands over is a [`Record`].

mod record;

pub use record::{Header, Record};
