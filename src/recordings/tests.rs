//! Tests of the recordings parameter: a table of settings texts, and properties over arbitrary bytes and over texts made to confuse.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const HERE: &str = "10.0.0.1";
const THERE: &str = "192.168.1.5";

fn rule(separator: &str) -> RecordingsIni {
    RecordingsIni { section: "Failover".into(), key: "Value".into(), separator: separator.into() }
}

fn applied(separator: &str, ini: &[u8]) -> Vec<u8> {
    apply(ini, &rule(separator), HERE, THERE).unwrap()
}

/// `ini` becomes `expected`, and stays it.
#[track_caller]
fn becomes(separator: &str, ini: &[u8], expected: &[u8]) {
    let show = |bytes: &[u8]| bytes.escape_ascii().to_string();
    assert_eq!(show(&applied(separator, ini)), show(expected));
    assert_eq!(show(&applied(separator, expected)), show(expected), "the second time");
}

#[track_caller]
fn stays(separator: &str, ini: &[u8]) {
    becomes(separator, ini, ini);
}

// ---- where the line goes ----

#[test]
fn the_line_is_as_the_article_gives_it() {
    becomes("", b"[Failover]\r\n", b"[Failover]\r\nValue=10.0.0.1192.168.1.5\r\n");
    becomes(",", b"[Failover]\r\n", b"[Failover]\r\nValue=10.0.0.1,192.168.1.5\r\n");
}

#[test]
fn a_line_ends_as_the_line_before_it() {
    becomes(",", b"[Failover]\nA=1\n", b"[Failover]\nA=1\nValue=10.0.0.1,192.168.1.5\n");
    becomes(",", b"[A]\n[Failover]\r\n[B]\n", b"[A]\n[Failover]\r\nValue=10.0.0.1,192.168.1.5\r\n[B]\n");
    becomes(",", b"[A]\r\n[Failover]\nB=1\n[C]\r\n", b"[A]\r\n[Failover]\nB=1\nValue=10.0.0.1,192.168.1.5\n[C]\r\n");
    becomes(",", b"[Failover]\rA=1\r[B]\r", b"[Failover]\rA=1\rValue=10.0.0.1,192.168.1.5\r[B]\r");
}

#[test]
fn a_last_line_without_an_end_gets_one() {
    becomes(",", b"[Failover]\nA=1", b"[Failover]\nA=1\nValue=10.0.0.1,192.168.1.5\n");
    becomes(",", b"[Failover]", b"[Failover]\r\nValue=10.0.0.1,192.168.1.5\r\n");
    becomes(",", b"[A]\nb=1", b"[A]\nb=1\n[Failover]\nValue=10.0.0.1,192.168.1.5\n");
    becomes(",", b"[A]", b"[A]\r\n[Failover]\r\nValue=10.0.0.1,192.168.1.5\r\n");
}

#[test]
fn a_missing_section_is_added_at_the_end() {
    becomes(",", b"", b"[Failover]\r\nValue=10.0.0.1,192.168.1.5\r\n");
    becomes(",", b"\xEF\xBB\xBF", b"\xEF\xBB\xBF[Failover]\r\nValue=10.0.0.1,192.168.1.5\r\n");
    becomes(",", b"[A]\r\nb=1\r\n\r\n", b"[A]\r\nb=1\r\n\r\n[Failover]\r\nValue=10.0.0.1,192.168.1.5\r\n");
    becomes(",", b"; [Failover]\n", b"; [Failover]\n[Failover]\nValue=10.0.0.1,192.168.1.5\n");
    // A line outside of the section is another parameter.
    becomes(
        ",",
        b"Value=10.0.0.1,a\n[A]\nValue=10.0.0.1,b\n",
        b"Value=10.0.0.1,a\n[A]\nValue=10.0.0.1,b\n[Failover]\nValue=10.0.0.1,192.168.1.5\n",
    );
}

#[test]
fn blank_lines_and_comments_stay_behind_the_new_line() {
    becomes(
        ",",
        b"[Failover]\n; first\nA=1\n\n; the next section\n#too\n[B]\n",
        b"[Failover]\n; first\nA=1\nValue=10.0.0.1,192.168.1.5\n\n; the next section\n#too\n[B]\n",
    );
    becomes(",", b"[Failover]\n\n  ", b"[Failover]\nValue=10.0.0.1,192.168.1.5\n\n  ");
    // A line that is no entry may mean something to its reader.
    becomes(",", b"[Failover]\nflag\n\n", b"[Failover]\nflag\nValue=10.0.0.1,192.168.1.5\n\n");
}

#[test]
fn the_mark_of_utf8_is_kept() {
    stays(",", b"\xEF\xBB\xBF[Failover]\r\nValue=10.0.0.1,192.168.1.5\r\n");
    becomes(
        ",",
        b"\xEF\xBB\xBF[Failover]\r\nName=\xC3\xBC\r\n",
        b"\xEF\xBB\xBF[Failover]\r\nName=\xC3\xBC\r\nValue=10.0.0.1,192.168.1.5\r\n",
    );
}

#[test]
fn bytes_of_any_8_bit_encoding_are_carried_over() {
    becomes(
        ",",
        b"[B\xFCro]\r\nName=\x80\xE9\xFF\r\n[Failover]\r\n\xDF=\xDF\r\n",
        b"[B\xFCro]\r\nName=\x80\xE9\xFF\r\n[Failover]\r\n\xDF=\xDF\r\nValue=10.0.0.1,192.168.1.5\r\n",
    );
}

#[test]
fn sections_and_keys_are_found_in_any_case_and_with_blanks() {
    stays(",", b"  [ FAILOVER ]  \n\tvAlUe\t = 10.0.0.1,192.168.1.5 \t\n");
    stays(",", b"[failover] ; here\nvalue=10.0.0.1,192.168.1.5\n");
    becomes(",", b"[failOver]\nVALUE = 10.0.0.1,10.9.9.9 \n", b"[failOver]\nVALUE = 10.0.0.1,192.168.1.5 \n");
    becomes(",", b"[Failover2]\n", b"[Failover2]\n[Failover]\nValue=10.0.0.1,192.168.1.5\n");
    becomes(",", b"[Failover]\nValue2=10.0.0.1,a\n", b"[Failover]\nValue2=10.0.0.1,a\nValue=10.0.0.1,192.168.1.5\n");
}

#[test]
fn the_first_section_of_the_name_counts() {
    becomes(
        ",",
        b"[Failover]\n[A]\n[Failover]\nValue=10.0.0.1,192.168.1.5\n",
        b"[Failover]\nValue=10.0.0.1,192.168.1.5\n[A]\n[Failover]\nValue=10.0.0.1,192.168.1.5\n",
    );
}

#[test]
fn a_header_without_its_bracket_ends_a_section_and_begins_none() {
    becomes(",", b"[Failover]\n[Oops\nb=1\n", b"[Failover]\nValue=10.0.0.1,192.168.1.5\n[Oops\nb=1\n");
    becomes(",", b"[Failover\nb=1\n", b"[Failover\nb=1\n[Failover]\nValue=10.0.0.1,192.168.1.5\n");
}

// ---- which line is changed ----

/// In a section that holds this value, it is replaced.
#[track_caller]
fn replaced(separator: &str, value: &str) {
    let (ini, expected) = (format!("[Failover]\nValue={value}\nZ=1\n"), format!("{HERE}{separator}{THERE}"));
    becomes(separator, ini.as_bytes(), format!("[Failover]\nValue={expected}\nZ=1\n").as_bytes());
}

/// In a section that holds this value, it is left alone and a line added.
#[track_caller]
fn left_alone(separator: &str, value: &str) {
    let ini = format!("[Failover]\nValue={value}\n");
    becomes(separator, ini.as_bytes(), format!("{ini}Value={HERE}{separator}{THERE}\n").as_bytes());
}

#[test]
fn a_line_for_an_earlier_address_of_the_monitored_server_is_corrected() {
    replaced(",", "10.0.0.1,192.168.1.9");
    replaced(",", "10.0.0.1,recorder-7.example.org");
    replaced(" | ", "10.0.0.1 | 192.168.1.9");
    replaced(";", "10.0.0.1;192.168.1.9");
    replaced("-", "10.0.0.1-192.168.1.9");
    // 10.0.0.11 for 92.168.1.9, 10.0.0.12 for 50.9.8.7: these are pairs, too.
    left_alone("", "10.0.0.1192.168.1.9");
    left_alone("", "10.0.0.1250.9.8.7");
}

#[test]
fn a_line_with_an_earlier_separator_is_corrected() {
    for (separator, value) in [
        (",", "10.0.0.1192.168.1.5"),
        (",", "10.0.0.1;192.168.1.5"),
        (",", "10.0.0.1 192.168.1.5"),
        (",", "10.0.0.1-192.168.1.5"),
        (",", "10.0.0.1:192.168.1.5"),
        ("", "10.0.0.1,192.168.1.5"),
        ("", "10.0.0.1,192.168.1.9"),
        ("", "10.0.0.1.192.168.1.5"),
    ] {
        replaced(separator, value);
    }
}

#[test]
fn an_address_alone_is_corrected() {
    replaced(",", "10.0.0.1");
    replaced("", "10.0.0.1");
    replaced(",", "10.0.0.1,");
}

#[test]
fn a_longer_address_is_another_failover_server() {
    for separator in ["", ",", " ", "-", "."] {
        for other in ["10.0.0.12", "10.0.0.11", "10.0.0.119", "10.0.0.1.example.org", "10.0.0.1-b"] {
            left_alone(separator, &format!("{other}{separator}{THERE}"));
        }
    }
    left_alone(",", "10.0.0.12");
    // A pair of nvr and cam around this separator.
    let ini = b"[Failover]\nValue=nvr1,cam\n";
    let both = b"[Failover]\nValue=nvr1,cam\nValue=nvr11,cam\n";
    assert_eq!(apply(ini, &rule("1,"), "nvr1", "cam").unwrap(), both);
    let ini = b"[Failover]\nValue=nvr-2-cam\n";
    let both = b"[Failover]\nValue=nvr-2-cam\nValue=nvr-cam\n";
    assert_eq!(apply(ini, &rule("-"), "nvr", "cam").unwrap(), both);
    // This failover server has the longer address, and the shorter one's line begins with the same characters.
    let ini = b"[Failover]\nValue=10.0.0.1192.168.1.5\n";
    let both = b"[Failover]\nValue=10.0.0.1192.168.1.5\nValue=10.0.0.11192.168.1.5\n";
    assert_eq!(apply(ini, &rule(""), "10.0.0.11", THERE).unwrap(), both);
    assert_eq!(apply(both, &rule(""), "10.0.0.11", THERE).unwrap(), both);
    assert_eq!(apply(both, &rule(""), HERE, THERE).unwrap(), both);
}

#[test]
fn with_no_separator_an_end_that_can_be_told_is_told() {
    let pair = |monitored: &str| format!("[Failover]\nValue=10.0.0.250{monitored}\n").into_bytes();
    // 25|010 has a leading zero, 2501|0 and more are above 255.
    assert_eq!(apply(&pair("10.0.0.9"), &rule(""), "10.0.0.250", "10.0.0.5").unwrap(), pair("10.0.0.5"));
}

#[test]
fn only_the_first_line_of_its_own_is_corrected_and_none_beside_the_right_one() {
    becomes(
        ",",
        b"[Failover]\nValue=10.0.0.1,a\nValue=10.0.0.1,b\n",
        b"[Failover]\nValue=10.0.0.1,192.168.1.5\nValue=10.0.0.1,b\n",
    );
    stays(",", b"[Failover]\nValue=10.0.0.1,a\nValue=10.0.0.1,192.168.1.5\n");
}

#[test]
fn several_failover_servers_have_a_line_each() {
    let mut ini = b"[Failover]\r\n".to_vec();
    let servers = ["10.0.0.1", "10.0.0.11", "10.0.0.2", "nvr", "nvr1", "fd00::1", "fd00::11"];
    for separator in ["", ",", "-", ":"] {
        for failover in servers {
            ini = apply(&ini, &rule(separator), failover, THERE).unwrap();
        }
        for failover in servers.iter().rev() {
            assert_eq!(apply(&ini, &rule(separator), failover, THERE).unwrap(), ini, "{separator} {failover}");
            let line = format!("\r\nValue={failover}{separator}{THERE}\r\n");
            assert!(String::from_utf8_lossy(&ini).contains(&line), "{separator} {failover}");
        }
    }
    assert_eq!(lines(&ini).count(), 1 + servers.len(), "with each separator the same lines");
}

#[test]
fn comment_lines_are_not_touched() {
    for mark in [";", "#", "  ;", "\t# "] {
        let ini = format!("[Failover]\n{mark}Value=10.0.0.1,a\n{mark}Value=10.0.0.1,192.168.1.5\n");
        let expected = ini.replacen('\n', "\nValue=10.0.0.1,192.168.1.5\n", 1);
        becomes(",", ini.as_bytes(), expected.as_bytes());
    }
}

#[test]
fn a_comment_behind_the_value_stays() {
    stays(",", b"[Failover]\nValue=10.0.0.1,192.168.1.5 ; the spare\n");
    becomes(",", b"[Failover]\nValue=10.0.0.1,a  # b\n", b"[Failover]\nValue=10.0.0.1,192.168.1.5  # b\n");
    becomes(" ;", b"[Failover]\nValue=10.0.0.1 ;a\n", b"[Failover]\nValue=10.0.0.1 ;192.168.1.5\n");
}

#[test]
fn names_are_compared_without_regard_to_case() {
    let ini = b"[Failover]\nValue=NVR.example,cam\n";
    assert_eq!(apply(ini, &rule(","), "nvr.example", "cam").unwrap(), b"[Failover]\nValue=nvr.example,cam\n");
}

// ---- what is refused ----

#[test]
fn utf16_and_nul_are_refused() {
    for text in [&b"\xFF\xFE[\0S\0]\0"[..], b"\xFE\xFF\0[\0S\0]", b"\xFF\xFE"] {
        assert_eq!(apply(text, &rule(""), HERE, THERE), Err(Problem::Utf16));
    }
    assert_eq!(apply(b"[S]\n\0", &rule(""), HERE, THERE), Err(Problem::Nul(4)));
    assert_eq!(apply(b"[\0S\0]\0", &rule(""), HERE, THERE), Err(Problem::Nul(1)));
}

#[test]
fn words_outside_ascii_are_written_into_utf8_alone() {
    let rule = RecordingsIni { section: "Büro".into(), key: "Value".into(), separator: ",".into() };
    let utf8 = "[Büro]\nValue=10.0.0.1,192.168.1.5\n".as_bytes();
    assert_eq!(apply("[Büro]\n".as_bytes(), &rule, HERE, THERE).unwrap(), utf8);
    assert_eq!(apply(b"[B\xFCro]\n", &rule, HERE, THERE), Err(Problem::Encoding));
}

#[test]
fn a_problem_says_what_is_allowed() {
    for problem in [Problem::Utf16, Problem::Nul(3), Problem::Encoding] {
        let text = problem.to_string();
        assert!(text.contains("UTF-8") && text.contains("the text"), "{text}");
    }
}

#[test]
fn one_endless_value_is_no_pair_of_addresses() {
    left_alone("", &format!("10.0.0.1{}", "1".repeat(64 * 1024)));
    left_alone("1", &format!("10.0.0.1{}", "1".repeat(64 * 1024)));
}

// ---- properties ----

fn separators() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", ",", " ", ";", " ; ", "-", ".", "1", ":", "=", "|", "ü"]).prop_map(str::to_owned)
}

fn addresses() -> impl Strategy<Value = String> {
    let close = prop::sample::select(vec![
        "10.0.0.1",
        "10.0.0.11",
        "10.0.0.111",
        "1.10.0.0",
        "11.10.0.0",
        "10.0.0.12",
        "nvr",
        "nvr1",
        "nvr-1",
        "1nvr",
        "NVR.example",
        "fd00::1",
        "fd00::11",
        "fd00::1:1",
        "::",
    ]);
    prop_oneof![close.prop_map(str::to_owned), any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string())]
}

fn rules() -> impl Strategy<Value = RecordingsIni> {
    let section = prop::sample::select(vec!["Failover", "a b", "Büro", ";x"]);
    let key = prop::sample::select(vec!["Value", "k 1", "a]b", "v#1"]);
    (section, key, separators()).prop_map(|(section, key, separator)| RecordingsIni {
        section: section.into(),
        key: key.into(),
        separator,
    })
}

/// Texts of lines that are nearly what is looked for.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"[Failover]",
        b"[failover] ",
        b"[ a b ]",
        b"[B\xC3\xBCro]",
        b"[B\xFCro]",
        b"[;x]",
        b"[Failover",
        b"[]",
        b"]",
        b"Value=",
        b"value = ",
        b"k 1=",
        b"a]b=",
        b"v#1=",
        b"=",
        b"; ",
        b"#",
        b" ",
        b"\t",
        b"10.0.0.1",
        b"1",
        b".",
        b"192.168.1.5",
        b"nvr",
        b"-",
        b":",
        b",",
        b";",
        b"fd00::1",
        b"\xFF",
        b"\x80",
        b"\x1A",
        b"\xEF\xBB\xBF",
        b"\r",
        b"\n",
        b"\n",
        b"\r\n",
        b"\r\n",
        b"\n[Failover]\nValue=10.0.0.1",
        b"\r\n[a b]\r\nk 1 =10.0.0.1,",
    ];
    vec(prop::sample::select(pieces), 0..40).prop_map(|pieces| pieces.concat())
}

/// Looks at `after` from both ends: what of `before` is gone, and what has come.
fn difference<'a>(before: &'a [u8], after: &'a [u8]) -> (usize, &'a [u8], &'a [u8]) {
    let start = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let (gone, come) = (&before[start..], &after[start..]);
    let end = gone.iter().rev().zip(come.iter().rev()).take_while(|(a, b)| a == b).count();
    (start, &gone[..gone.len() - end], &come[..come.len() - end])
}

fn line_ends(text: &[u8]) -> usize {
    text.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count()
}

/// The section's lines, by another reading than the module's: by regular lines alone.
fn has_line(ini: &[u8], rule: &RecordingsIni, value: &str) -> bool {
    let ini = ini.strip_prefix(UTF8_MARK).unwrap_or(ini);
    let lines: Vec<&[u8]> = ini.split(|byte| matches!(byte, b'\r' | b'\n')).map(<[u8]>::trim_ascii).collect();
    let is_header = |line: &&[u8]| line.starts_with(b"[");
    let is_section = |line: &&[u8]| {
        let name = line[1..].split(|byte| *byte == b']').next().unwrap();
        line.contains(&b']') && name.trim_ascii().eq_ignore_ascii_case(rule.section.as_bytes())
    };
    let Some(start) = lines.iter().position(|line| is_header(line) && is_section(line)) else { return false };
    lines[start + 1..].iter().take_while(|line| !is_header(line)).any(|line| {
        let Some(equals) = line.iter().position(|byte| *byte == b'=') else { return false };
        let (key, found) = (line[..equals].trim_ascii(), line[equals + 1..].trim_ascii());
        key.eq_ignore_ascii_case(rule.key.as_bytes())
            && (found == value.as_bytes()
                || found.strip_prefix(value.as_bytes()).is_some_and(|rest| [b' ', b'\t'].contains(&rest[0])))
    })
}

fn check_story(ini: &[u8], rule: &RecordingsIni, failover: &str, monitored: &str) -> Result<(), TestCaseError> {
    let Ok(once) = apply(ini, rule, failover, monitored) else { return Ok(()) };
    let value = format!("{failover}{}{monitored}", rule.separator);
    prop_assert!(has_line(&once, rule, &value), "{}", once.escape_ascii());
    prop_assert_eq!(&apply(&once, rule, failover, monitored).unwrap(), &once);
    let (start, gone, come) = difference(ini, &once);
    if line_ends(&once) > line_ends(ini) {
        prop_assert!(gone.is_empty(), "a line is added, and nothing else: {}", gone.escape_ascii());
        let room = rule.section.len() + rule.key.len() + value.len() + "[]=".len() + 3 * "\r\n".len();
        prop_assert!(come.len() <= room, "one line, and perhaps a header: {}", come.escape_ascii());
    } else {
        prop_assert_eq!(line_ends(gone) + line_ends(come), 0, "one value is changed");
        let begin = ini[..start].iter().rposition(|byte| matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1);
        let line = ini[begin..].split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap();
        let of_failover = line
            .to_ascii_lowercase()
            .windows(failover.len())
            .any(|part| part == failover.to_ascii_lowercase().as_bytes());
        prop_assert!(once == ini || of_failover, "{}", line.escape_ascii());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_are_refused_or_keep_every_other_byte(
        ini in vec(any::<u8>(), 0..300), rule in rules(), failover in addresses(), monitored in addresses(),
    ) {
        check_story(&ini, &rule, &failover, &monitored)?;
        let without_nul: Vec<u8> = ini.into_iter().filter(|byte| *byte != 0).collect();
        check_story(&without_nul, &rule, &failover, &monitored)?;
    }

    #[test]
    fn twice_is_once_and_no_other_byte_is_touched(
        ini in texts(), rule in rules(), failover in addresses(), monitored in addresses(),
    ) {
        check_story(&ini, &rule, &failover, &monitored)?;
    }

    #[test]
    fn no_failover_server_touches_the_line_of_another(
        ini in texts(), separator in separators(), one in addresses(), two in addresses(), monitored in addresses(),
    ) {
        prop_assume!(!one.eq_ignore_ascii_case(&two));
        let rule = rule(&separator);
        let Ok(first) = apply(&ini, &rule, &one, &monitored) else { return Ok(()) };
        let both = apply(&first, &rule, &two, &monitored).unwrap();
        prop_assert!(has_line(&both, &rule, &format!("{one}{separator}{monitored}")), "{}", both.escape_ascii());
        prop_assert_eq!(&apply(&both, &rule, &one, &monitored).unwrap(), &both);
    }

    #[test]
    fn a_readdressed_server_has_its_line_corrected_where_the_separator_tells(
        separator in prop::sample::select(vec![",", " ", ";", "|", "="]), failover in addresses(), old in addresses(), new in addresses(),
    ) {
        let rule = rule(separator);
        let before = apply(b"[A]\n[Failover]\n[B]\n", &rule, &failover, &old).unwrap();
        let after = apply(&before, &rule, &failover, &new).unwrap();
        prop_assert_eq!(after, format!("[A]\n[Failover]\nValue={failover}{separator}{new}\n[B]\n").into_bytes());
    }
}
