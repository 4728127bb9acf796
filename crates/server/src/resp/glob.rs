//! Patterns of `KEYS`, `SCAN` and `CONFIG GET`: `*`, `?`, `[a-z]`, `[^a]` and `\` before a
//! character that stands for itself.

/// Whether the whole of `text` matches `pattern`.
///
/// Takes time in proportion to the product of both lengths at worst: a `*` that fails goes back to
/// the last `*` only, since an earlier one could not match more.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
        } else if let Some(len) = matches_one(&pattern[p..], text[t]) {
            p += len;
            t += 1;
        } else if let Some((after, from)) = star {
            star = Some((after, from + 1));
            p = after;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Whether `byte` matches the element that `pattern` starts with, and how long that element is.
fn matches_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', ref rest @ ..] => matches_set(rest, byte),
        [b'\\', escaped, ..] => (escaped == byte).then_some(2),
        [literal, ..] => (literal == byte).then_some(1),
    }
}

/// As [`matches_one`] for what follows a `[`.
fn matches_set(set: &[u8], byte: u8) -> Option<usize> {
    let negated = set.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match set[at.min(set.len())..] {
            // A set without an end goes on to the end of the pattern, as in redis-server.
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [low, b'-', high, ..] if high != b']' => {
                found |= (low.min(high)..=low.max(high)).contains(&byte);
                at += 3;
            }
            [b'\\', escaped, ..] => {
                found |= escaped == byte;
                at += 2;
            }
            [one, ..] => {
                found |= one == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn matches_as_redis_does() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "notes", true),
            ("n*s", "notes", true),
            ("n*x", "notes", false),
            ("?otes", "notes", true),
            ("?", "", false),
            ("n[ao]tes", "notes", true),
            ("n[^o]tes", "notes", false),
            ("n[a-p]tes", "notes", true),
            ("n[p-a]tes", "notes", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("[", "a", false),
            ("[a", "a", true),
            ("", "", true),
            ("", "a", false),
            ("a\\", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern = "a*".repeat(100) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(5000).as_bytes()));
    }
}
