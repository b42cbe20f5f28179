//! The name that was probably meant.

/// `did you mean "x"?` for the name among `names` that is nearest to `word`, if one is near.
pub fn did_you_mean<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, names).map(|n| format!("did you mean \"{n}\"?"))
}

/// The name nearest to `word`, whatever the case; `None` when none shares most of its letters.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 100;
    let lower: Vec<char> = word.to_lowercase().chars().collect();
    if lower.len() > LONGEST {
        return None;
    }
    let allowed = 1 + lower.len() / 4;
    names
        .into_iter()
        .filter(|n| n.len() <= LONGEST)
        .map(|n| {
            (
                edits(&lower, &n.to_lowercase().chars().collect::<Vec<_>>()),
                n,
            )
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, name)| (*distance, *name))
        .map(|(_, name)| name)
}

/// Letters to insert, delete or replace to make `b` of `a`.
fn edits(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["purchases", "page_views", "cpu"];
        assert_eq!(nearest("purchase", names), Some("purchases"));
        assert_eq!(nearest("PAGEVIEWS", names), Some("page_views"));
        assert_eq!(nearest("cup", names), None);
        assert_eq!(nearest("cpus", names), Some("cpu"));
        assert_eq!(nearest("flights", names), None);
        assert_eq!(edits(&['a', 'b'], &['b']), 1);
    }
}
