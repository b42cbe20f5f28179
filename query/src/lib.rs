//! The query layer: binding, history, continuous views.
