//! A fingerprint as a picture. Source: `fingerprint_randomart` in OpenSSH's sshkey.c (the drunken bishop's walk).

const WIDTH: usize = 17;
const HEIGHT: usize = 9;
const STEPS: &[u8; 17] = b" .o+=*BOX@%&#/^SE";
const START: u8 = 15;
const END: u8 = 16;

/// The eleven lines that `ssh-keygen -lv` draws of a SHA-256 fingerprint. `family` is `ED25519`, `RSA`, ...
pub(super) fn randomart(digest: &[u8], family: &str, bits: Option<u32>) -> Vec<String> {
    let mut field = [[0u8; WIDTH]; HEIGHT];
    let (mut x, mut y) = (WIDTH / 2, HEIGHT / 2);
    for byte in digest {
        for pair in 0..4 {
            let step = byte >> (2 * pair);
            x = if step & 1 == 1 { (x + 1).min(WIDTH - 1) } else { x.saturating_sub(1) };
            y = if step & 2 == 2 { (y + 1).min(HEIGHT - 1) } else { y.saturating_sub(1) };
            field[y][x] = (field[y][x] + 1).min(START - 1);
        }
    }
    field[HEIGHT / 2][WIDTH / 2] = START;
    field[y][x] = END;
    let whole = bits.map(|bits| format!("[{family} {bits}]")).filter(|title| title.len() < WIDTH);
    let title = whole.unwrap_or_else(|| format!("[{family}]"));
    let mut lines = vec![border(&title)];
    lines.extend(field.iter().map(|row| {
        let cells: String = row.iter().map(|count| char::from(STEPS[usize::from(*count)])).collect();
        format!("|{cells}|")
    }));
    lines.push(border("[SHA256]"));
    lines
}

fn border(title: &str) -> String {
    let title: String = title.chars().take(WIDTH).collect();
    let left = (WIDTH - title.len().min(WIDTH)) / 2;
    format!("+{}{title}{}+", "-".repeat(left), "-".repeat(WIDTH.saturating_sub(left + title.len())))
}
