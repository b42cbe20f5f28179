//! Where rows go besides subscribers. What goes out is encoded already: nothing here knows of queries.

pub mod kafka;
