use super::*;

fn scale_of(values: &[f64]) -> Option<Scale> {
    find_scale(values)
}

#[test]
fn decimals_become_small_integers() {
    for (values, largest) in [
        (vec![0.5, 1.25, 99.75], 9975),
        (vec![12.0, 7.0, -3.0], 12),
        (vec![0.1, 0.2, 0.3], 3),
        (vec![1e-7, 25e-7], 25),
    ] {
        let scale = scale_of(&values).unwrap();
        let split = split(&values, scale);
        assert_eq!(split.floats, [0.0; 0], "{values:?} has no exceptions");
        let top = split.ints.iter().map(|i| i.abs()).max();
        assert_eq!(top, Some(largest), "{values:?} by {scale:?}");
    }
}

#[test]
fn zeros_behind_are_dropped() {
    let values = [3e12, 45e11, 1e14];
    let split = split(&values, scale_of(&values).unwrap());
    assert!(split.ints.iter().all(|i| *i <= 100_000_000_000_000));
    assert!(split.floats.is_empty());
}

#[test]
fn what_is_no_decimal_has_no_scale() {
    let values: Vec<f64> = (1..100).map(|i| f64::from(i).sqrt().sin()).collect();
    assert_eq!(scale_of(&values), None);
    assert_eq!(scale_of(&[f64::NAN, f64::INFINITY, -0.0]), None);
}

/// An exception repeats the integer before it, so that it costs nothing among the integers.
#[test]
fn exceptions_stand_apart() {
    let values = [1.5, f64::NAN, -0.0, 2.5, f64::INFINITY];
    let split = split(&values, Scale { e: 1, f: 0 });
    assert_eq!(split.ints, [15, 15, 15, 25, 25]);
    assert_eq!(split.rows, [1, 2, 4]);
}

#[test]
fn a_wrong_scale_or_row_is_refused() {
    let values = [1.5, f64::NAN, 2.5];
    let mut bytes = Vec::new();
    split(&values, Scale { e: 1, f: 0 }).encode(&[], &mut bytes);
    let attempt = |bytes: &[u8]| decode(&mut Reader::new(bytes), 3, &mut Vec::new());
    assert!(attempt(&bytes).is_ok());
    for scale in [[19, 0], [1, 2], [255, 255]] {
        bytes[..2].copy_from_slice(&scale);
        assert!(attempt(&bytes).is_err(), "{scale:?}");
    }
    bytes[..2].copy_from_slice(&[1, 0]);
    // The row of the one exception is a constant: its tag, then the row, zigzag.
    assert_eq!(bytes[3..5], [crate::Encoding::Constant.tag(), 2]);
    for row in [1, 6, 127] {
        bytes[4] = row;
        assert!(attempt(&bytes).is_err(), "row {row}");
    }
}
