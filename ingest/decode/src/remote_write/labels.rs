//! A series' labels: what they must be, and how they are shown.

use crate::metric::text::{object, push_string};
use crate::metric::{MetricReason, Tag};
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
            return Err(MetricReason::DuplicateLabel((*name).into()));
        }
        if *name < before {
            return Err(MetricReason::Unsorted((*name).into()));
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

/// The series as people write it: `up{job="a"}`.
pub(super) fn shown(labels: &[Label<'_>]) -> String {
    let mut out = metric(labels).to_owned();
    out.push('{');
    for (i, (name, value)) in labels.iter().filter(|l| l.0 != NAME).enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(name);
        out.push('=');
        push_string(value, &mut out);
    }
    out.push('}');
    out
}
