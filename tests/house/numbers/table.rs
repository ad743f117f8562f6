//! The rows.

/// Stands for the name of a page.
pub(super) const EVERY_PAGE: &str = "*";

const TABLES: [&str; 5] = [
    include_str!("readme.txt"),
    include_str!("security.txt"),
    include_str!("guest.txt"),
    include_str!("companion.txt"),
    include_str!("places.txt"),
];

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) page: String,
    pub(super) words: String,
    pub(super) held: Held,
}

/// By what.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// The numbers of the words are those of the code.
    Same { file: String, code: String },
    /// The code is there.
    Told { file: String, code: String },
    /// By nothing: the page says so.
    Marked { mark: String },
    /// By nothing, in a whole part of the page.
    Part { mark: String },
}

impl Held {
    pub(super) fn is_part(&self) -> bool {
        matches!(self, Self::Part { .. })
    }
}

pub(super) fn rows() -> Vec<Row> {
    TABLES.into_iter().flat_map(read).collect()
}

fn read(table: &str) -> Vec<Row> {
    let mut page = String::new();
    let mut rows = Vec::new();
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with("//")) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            page = name.to_owned();
            continue;
        }
        let (kind, rest) = line.split_at_checked(2).unwrap_or_else(|| panic!("no row: {line}"));
        let columns: Vec<String> = rest.splitn(3, " | ").map(|column| column.trim().to_owned()).collect();
        let (words, held) = match (kind, columns.as_slice()) {
            ("= ", [words, file, code]) => (words, Held::Same { file: file.clone(), code: code.clone() }),
            (": ", [words, file, code]) => (words, Held::Told { file: file.clone(), code: code.clone() }),
            ("~ ", [words, mark]) => (words, Held::Marked { mark: mark.clone() }),
            ("# ", [words, mark]) => (words, Held::Part { mark: mark.clone() }),
            _ => panic!("no row: {line}"),
        };
        assert!(!page.is_empty(), "of no page: {line}");
        rows.push(Row { page: page.clone(), words: words.clone(), held });
    }
    rows
}

#[test]
fn a_table_is_read() {
    let rows =
        read("// A remark\n[docs/a.md]\n= 5 s | b.rs | from_secs(5) | or so\n# Sizes | not repeated\n");
    let held = [
        Held::Same { file: "b.rs".into(), code: "from_secs(5) | or so".into() },
        Held::Part { mark: "not repeated".into() },
    ];
    let words = ["5 s", "Sizes"].into_iter().zip(held);
    let expected = words.map(|(words, held)| Row { page: "docs/a.md".into(), words: words.into(), held });
    assert_eq!(rows, expected.collect::<Vec<_>>());
}
