//! Lines that fit: wrapped by what they take on a terminal, with colour only where it was asked for.

use console::measure_text_width;

/// How a page is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Columns.
    pub width: usize,
    pub colour: bool,
}

/// What a colour says. Without colour the words say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Strong,
    Dim,
    Good,
    Warn,
    Bad,
    Busy,
}

impl Ink {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Strong => Some("1"),
            Self::Dim => Some("2"),
            Self::Good => Some("32"),
            Self::Warn => Some("33"),
            Self::Bad => Some("1;31"),
            Self::Busy => Some("36"),
        }
    }
}

/// Narrower than this, lines are as they would be at this width.
const NARROWEST: usize = 20;
/// Of the labels of facts and the words before items.
const LABEL: usize = 16;
const MARK: usize = 8;

pub(super) struct Paper {
    look: Look,
    out: String,
}

impl Paper {
    pub(super) fn new(look: Look) -> Self {
        Self { look: Look { width: look.width.max(NARROWEST), ..look }, out: String::new() }
    }

    pub(super) fn width(&self) -> usize {
        self.look.width
    }

    pub(super) fn text(self) -> String {
        self.out
    }

    /// Parts with two spaces between; each part begins a line of its own where it does not fit.
    pub(super) fn title(&mut self, parts: &[(Ink, &str)]) {
        let mut column = 0;
        for (ink, part) in parts {
            let lines = wrap(part, self.look.width);
            let needed = lines.iter().map(|line| measure_text_width(line)).max().unwrap_or(0);
            if column > 0 && column + 2 + needed <= self.look.width {
                self.out.push_str("  ");
                column += 2;
            } else if column > 0 {
                self.out.push('\n');
                column = 0;
            }
            let inked: Vec<String> = lines.iter().map(|line| self.inked(*ink, line)).collect();
            self.out.push_str(&inked.join("\n"));
            column += needed;
        }
        self.out.push('\n');
    }

    /// An empty line, the heading, and more about it on the same line or below.
    pub(super) fn heading(&mut self, heading: &str, more: &str) {
        self.out.push('\n');
        let parts = [(Ink::Strong, heading), (Ink::Dim, more)];
        self.title(if more.is_empty() { &parts[..1] } else { &parts });
    }

    /// A label and its value.
    pub(super) fn fact(&mut self, label: &str, ink: Ink, value: &str) {
        self.hanging("", label, Ink::Dim, LABEL, ink, value);
    }

    /// A word and what it is about, set in by two.
    pub(super) fn item(&mut self, mark: &str, ink: Ink, text: &str) {
        self.hanging("  ", mark, ink, MARK, Ink::Plain, text);
    }

    pub(super) fn note(&mut self, text: &str) {
        for line in wrap(text, self.look.width) {
            self.line(Ink::Dim, &line);
        }
    }

    /// Ours alone, and narrow.
    pub(super) fn verbatim(&mut self, text: &str) {
        self.out.push_str(&format!("  {text}"));
        self.end();
    }

    pub(super) fn line(&mut self, ink: Ink, text: &str) {
        let inked = self.inked(ink, text);
        self.out.push_str(&inked);
        self.end();
    }

    /// A line made of parts; nothing is wrapped.
    pub(super) fn parts(&mut self, parts: &[(Ink, &str)]) {
        for (ink, part) in parts {
            let inked = self.inked(*ink, part);
            self.out.push_str(&inked);
        }
        self.end();
    }

    fn hanging(&mut self, indent: &str, word: &str, of_word: Ink, room: usize, ink: Ink, text: &str) {
        let hang = indent.len() + room + 1;
        let lines = wrap(text, self.look.width.saturating_sub(hang).max(NARROWEST / 2));
        let word = format!("{indent}{}", fit(word, room));
        let word = self.inked(of_word, &word);
        self.out.push_str(&word);
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                self.out.push_str(&" ".repeat(hang - 1));
            }
            let line = self.inked(ink, line);
            self.out.push(' ');
            self.out.push_str(&line);
            self.end();
        }
        if lines.is_empty() {
            self.end();
        }
    }

    fn end(&mut self) {
        let end = self.out.trim_end_matches(' ').len();
        self.out.truncate(end);
        self.out.push('\n');
    }

    fn inked(&self, ink: Ink, text: &str) -> String {
        match ink.code().filter(|_| self.look.colour && !text.trim().is_empty()) {
            Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
            None => text.to_owned(),
        }
    }
}

/// Exactly so many columns: filled up, or cut with an ellipsis.
pub(super) fn fit(text: &str, width: usize) -> String {
    let text = console::truncate_str(text, width, "…");
    format!("{text}{}", " ".repeat(width.saturating_sub(measure_text_width(&text))))
}

/// Lines of at most so many columns, broken between words where that is possible.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let (mut line, mut column) = (String::new(), 0);
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let needed = measure_text_width(word);
        if column > 0 && column + 1 + needed > width {
            lines.push(std::mem::take(&mut line));
            column = 0;
        }
        if column > 0 {
            line.push(' ');
            column += 1;
        }
        if needed <= width {
            line.push_str(word);
            column += needed;
            continue;
        }
        for c in word.chars() {
            let wide = measure_text_width(c.encode_utf8(&mut [0; 4]));
            if column > 0 && column + wide > width {
                lines.push(std::mem::take(&mut line));
                column = 0;
            }
            line.push(c);
            column += wide;
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_whatever_is_in_them() {
        for text in
            ["", "one two three", &"long".repeat(40), "名前 名前名前名前名前名前", "a\u{301}\u{301} b"]
        {
            for width in 1..30 {
                for line in wrap(text, width) {
                    // One wide character cannot be broken.
                    assert!(measure_text_width(&line) <= width.max(2), "{width}: {line:?}");
                }
            }
        }
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("  abcdef gh ", 4), ["abcd", "ef", "gh"]);
        assert_eq!(fit("abc", 5), "abc  ");
        assert_eq!(fit("abcdef", 4), "abc…");
    }

    #[test]
    fn there_is_colour_only_where_it_was_asked_for() {
        for colour in [false, true] {
            let mut paper = Paper::new(Look { width: 40, colour });
            paper.title(&[(Ink::Strong, "web-01"), (Ink::Bad, "failed")]);
            paper.fact("trust", Ink::Good, "attested");
            paper.item("fail", Ink::Bad, "x");
            assert_eq!(paper.text().contains('\u{1b}'), colour);
        }
    }
}
