//! What a stream's options say of files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tsdb::Stream;

/// What to do about a file that was made shorter than it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Truncation {
    /// To read it no further, and say so.
    #[default]
    Stop,
    /// To read it from its start.
    Restart,
}

/// A source of files, as declared.
#[derive(Clone, Debug)]
pub struct FileSpec {
    /// The directory.
    pub directory: PathBuf,
    /// The names of its files that are read; `*` and `?` stand for any bytes and for any one.
    pub pattern: String,
    /// Directories below which files may be read.
    pub roots: Vec<PathBuf>,
    /// Whether the first line of each file names its columns.
    pub header: bool,
    /// What becomes of a file that was truncated.
    pub truncation: Truncation,
    /// How long a file that was renamed or removed must be quiet before its last line counts as whole, and a compressed
    /// one before it is read.
    pub quiet: Duration,
}

impl FileSpec {
    /// What the stream's options declare; `None` when they name no files.
    ///
    /// # Errors
    /// What is wrong with the options; also when they are right, and no configuration allows to read there.
    pub fn of(stream: &Stream, roots: &[PathBuf]) -> Result<Option<FileSpec>, String> {
        let option = |name: &str| stream.options.kept(name);
        let Some(path) = option("file_path") else {
            return Ok(None);
        };
        if roots.is_empty() {
            return Err(
                "files are not to be read here: the server's configuration lists no directory for them (file_roots)"
                    .into(),
            );
        }
        let path = Path::new(path);
        if !path.is_absolute() {
            return Err(format!(
                "file_path is an absolute path, not '{}'",
                path.display()
            ));
        }
        let of_directory = |p: &Path| FileSpec {
            directory: p.into(),
            pattern: "*".into(),
            roots: Vec::new(),
            header: false,
            truncation: Truncation::Stop,
            quiet: Duration::from_secs(2),
        };
        let ends_in_slash = path.as_os_str().as_bytes().ends_with(b"/");
        let spec = match (path.parent(), path.file_name().and_then(OsStr::to_str)) {
            _ if ends_in_slash || path.is_dir() => of_directory(path),
            (Some(directory), Some(name)) => FileSpec {
                pattern: name.into(),
                ..of_directory(directory)
            },
            _ => return Err(format!("file_path '{}' names no file", path.display())),
        };
        if spec
            .directory
            .as_os_str()
            .as_bytes()
            .iter()
            .any(|b| b"*?".contains(b))
        {
            return Err("file_path has * and ? in its last part only".into());
        }
        let header = flag("csv_header", option("csv_header"))?;
        if header && option("csv_columns").is_some() {
            return Err("csv_header and csv_columns exclude each other".into());
        }
        Ok(Some(FileSpec {
            header,
            truncation: match option("file_truncation") {
                None | Some("stop") => Truncation::Stop,
                Some("restart") => Truncation::Restart,
                Some(other) => {
                    return Err(format!(
                        "file_truncation is 'stop' or 'restart', not '{other}'"
                    ));
                }
            },
            roots: roots.to_vec(),
            ..spec
        }))
    }

    /// For people: where the files lie.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.directory.join(&self.pattern).display().to_string()
    }

    /// Whether a file of that name is read. Hidden ones are only when they are asked for.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        let hidden = name.starts_with(b".") && !self.pattern.starts_with('.');
        !hidden && fits(self.pattern.as_bytes(), name)
    }
}

fn flag(option: &str, value: Option<&str>) -> Result<bool, String> {
    match value.map(str::to_ascii_lowercase).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(format!("{option} is true or false, not '{other}'")),
    }
}

/// Whether a name fits a pattern of `*` and `?`, in time that is at most the product of their lengths.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // The last star, and how much of the name it covers so far.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, covered)) => {
                    star = Some((at, covered + 1));
                    p = at + 1;
                    n = covered + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slow(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => slow(rest, name),
            (Some((b'*', rest)), Some((_, tail))) => slow(rest, name) || slow(pattern, tail),
            (Some((c, rest)), Some((d, tail))) => (*c == b'?' || c == d) && slow(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn patterns_fit_as_they_read(pattern in "[ab*?]{0,6}", name in "[ab]{0,8}") {
            prop_assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), slow(pattern.as_bytes(), name.as_bytes()));
        }
    }

    #[test]
    fn a_long_pattern_takes_no_time() {
        let (pattern, name) = ("*a".repeat(60), "a".repeat(200) + "b");
        assert!(!fits(pattern.as_bytes(), name.as_bytes()));
    }

    fn of(options: &[(&str, &str)], roots: &[&str]) -> Result<Option<FileSpec>, String> {
        let catalog = tsdb::Catalog::default();
        let extra = options.iter().map(|(n, v)| ((*n).into(), (*v).into()));
        let def = tsdb::StreamDef {
            options: tsdb::StreamOptions {
                extra: extra.collect(),
                ..tsdb::StreamOptions::default()
            },
            columns: vec![(
                "time".into(),
                tsdb::types::DataType::Timestamp,
                tsdb::types::Role::Time,
            )],
        };
        let stream = catalog.create_stream("default", "s", &def).unwrap();
        let roots: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
        FileSpec::of(&stream, &roots)
    }

    #[test]
    fn options_are_read_or_refused() {
        assert!(of(&[], &["/"]).unwrap().is_none());
        let why = of(&[("file_path", "/x/*.log")], &[]).unwrap_err();
        assert!(why.contains("file_roots"), "{why}");
        let spec = of(&[("file_path", "/x/a*.log")], &["/x"]).unwrap().unwrap();
        assert_eq!(
            (spec.directory.to_str(), spec.pattern.as_str()),
            (Some("/x"), "a*.log")
        );
        assert!(spec.matches(b"a1.log") && !spec.matches(b"b.log") && !spec.header);
        for folder in ["/tmp", "/tmp/", "/tmp/no-such-folder/"] {
            let spec = of(&[("file_path", folder)], &["/x"]).unwrap().unwrap();
            assert!(
                spec.matches(b"any") && !spec.matches(b".hidden"),
                "{folder}"
            );
        }
        for bad in [
            &[("file_path", "x/y")][..],
            &[("file_path", "/*/y")],
            &[("file_path", "/x/y"), ("csv_header", "perhaps")],
            &[("file_path", "/x/y"), ("file_truncation", "no")],
            &[
                ("file_path", "/x/y"),
                ("csv_header", "true"),
                ("csv_columns", "a"),
            ],
        ] {
            assert!(of(bad, &["/x"]).is_err(), "{bad:?}");
        }
    }
}
