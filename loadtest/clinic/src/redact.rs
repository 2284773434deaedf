/// The text without what could identify a patient: addresses of mail and long numbers.
///
/// Returns the redacted text and how many words were taken out.
pub(crate) fn redact(text: &str) -> (String, usize) {
    let mut taken = 0;
    let words: Vec<_> = text
        .split(' ')
        .map(|word| {
            let mark = mark(word);
            taken += usize::from(mark.is_some());
            mark.unwrap_or(word)
        })
        .collect();
    (words.join(" "), taken)
}

fn mark(word: &str) -> Option<&'static str> {
    if word.contains('@') {
        Some("[mail]")
    } else if word.chars().filter(char::is_ascii_digit).count() >= IDENTIFYING_DIGITS {
        Some("[number]")
    } else {
        None
    }
}

/// Doses and ages are shorter; telephone and insurance numbers are not.
const IDENTIFYING_DIGITS: usize = 6;

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn identifying_words_are_taken_out_and_doses_stay() {
        for (text, redacted, taken) in [
            ("takes 500 mg twice", "takes 500 mg twice", 0),
            ("call +49-30-901820 today", "call [number] today", 1),
            ("write to p17@mail.example or 0151234567", "write to [mail] or [number]", 2),
            ("", "", 0),
        ] {
            assert_eq!(redact(text), (redacted.to_owned(), taken));
        }
    }
}
