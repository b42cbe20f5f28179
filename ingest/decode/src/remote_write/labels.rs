//! A series' labels: what they must be, and how they are kept.

use crate::metric::text::object;
use crate::metric::{MetricReason, Tag, letter};
use std::borrow::Cow;

/// The label that names the metric.
const NAME: &str = "__name__";

/// Name and value, as they come.
pub(super) type Label<'a> = (&'a str, &'a str);

/// The metric and its tags. A label without value is as good as none.
pub(super) fn split<'a>(labels: &[Label<'a>]) -> Result<(&'a str, Vec<Tag<'a>>), MetricReason> {
    let (mut metric, mut before) = ("", "");
    let mut tags = Vec::with_capacity(labels.len());
    for (name, value) in labels {
        if name.is_empty() {
            return Err(MetricReason::Invalid("a label has no name"));
        }
        if *name == before {
            return Err(MetricReason::DuplicateLabel(letter::short(name).into()));
        }
        if *name < before {
            return Err(MetricReason::Unsorted(letter::short(name).into()));
        }
        before = name;
        match *name {
            NAME => metric = value,
            _ if value.is_empty() => {}
            _ => tags.push((Cow::Borrowed(*name), Cow::Borrowed(*value))),
        }
    }
    if metric.is_empty() {
        return Err(MetricReason::Invalid("the label __name__ is missing"));
    }
    Ok((metric, tags))
}

/// The metric's name, as far as there is one.
pub(super) fn metric<'a>(labels: &[Label<'a>]) -> &'a str {
    labels.iter().find(|l| l.0 == NAME).map_or("", |l| l.1)
}

/// All labels but the metric's name, as JSON.
pub(super) fn json(labels: &[Label<'_>]) -> String {
    object(labels.iter().filter(|l| l.0 != NAME).copied())
}

/// What a letter keeps of the labels: all but the metric's name, unless that is given more than once.
pub(super) fn kept(labels: &[Label<'_>]) -> String {
    let once = labels.iter().filter(|l| l.0 == NAME).count() == 1;
    let others = labels.iter().filter(|l| !once || l.0 != NAME);
    letter::labels(others.copied())
}
