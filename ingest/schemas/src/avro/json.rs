//! Values with parts as JSON.

use super::read::Input;
use super::{Node, NodeId, Scalar, Tree, scalar};
use crate::text::{check, push_double, push_string, time};
use ingest_decode::RowReason;
use ingest_decode::json::MAX_DEPTH;
use ingest_decode::typed::decimal_text;
use std::fmt::Write;

/// Reads a value and appends it. A union's value is written as it is, without its type.
pub(super) fn write<'a>(
    tree: &'a Tree,
    input: &mut Input<'a>,
    id: NodeId,
    depth: usize,
    out: &mut String,
) -> Result<(), RowReason> {
    input.step()?;
    check(out)?;
    if depth > MAX_DEPTH {
        return Err(RowReason::TooDeep(MAX_DEPTH));
    }
    match tree.node(id) {
        Node::List(items) => {
            out.push('[');
            blocks(input, out, |input, out| {
                write(tree, input, *items, depth + 1, out)
            })?;
            out.push(']');
        }
        Node::Map(values) => {
            out.push('{');
            blocks(input, out, |input, out| {
                push_string(out, input.text()?);
                out.push(':');
                write(tree, input, *values, depth + 1, out)
            })?;
            out.push('}');
        }
        Node::Record { fields, .. } => {
            out.push('{');
            for (i, field) in fields.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                push_string(out, &field.name);
                out.push(':');
                write(tree, input, field.node, depth + 1, out)?;
            }
            out.push('}');
        }
        Node::Union(variants) => {
            let i = input.index(variants.len(), "branch")?;
            write(tree, input, variants[i], depth + 1, out)?;
        }
        node => push(&scalar(node, input)?, out),
    }
    Ok(())
}

/// Reads all blocks, with a comma between items.
fn blocks<'a>(
    input: &mut Input<'a>,
    out: &mut String,
    mut item: impl FnMut(&mut Input<'a>, &mut String) -> Result<(), RowReason>,
) -> Result<(), RowReason> {
    let mut first = true;
    loop {
        let n = input.block()?;
        if n == 0 {
            return Ok(());
        }
        for _ in 0..n {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            item(input, out)?;
        }
    }
}

fn push(value: &Scalar<'_>, out: &mut String) {
    // Writing to a String can't fail.
    let _ = match value {
        Scalar::Null => write!(out, "null"),
        Scalar::Bool(v) => write!(out, "{v}"),
        Scalar::Int(v) => write!(out, "{v}"),
        Scalar::Float(v) => {
            push_double(out, *v);
            Ok(())
        }
        Scalar::Text(v) => {
            push_string(out, v);
            Ok(())
        }
        Scalar::Time(v) => {
            push_string(out, &time(*v));
            Ok(())
        }
        Scalar::Decimal {
            unscaled, scale, ..
        } => write!(out, "{}", decimal_text(*unscaled, *scale)),
        Scalar::Digits(v) => write!(out, "{v}"),
    };
}
