//! `.env` files, with what others write into them.

use ccproxy::dotenv;

/// Checks the assignments in a `.env` file.
fn check_dotenv(text: &str, wanted: Result<&[(&str, &str)], &str>) {
    let owned = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>()
    };
    // What begins with a small letter is another program's.
    let is_ours = |name: &str| name.starts_with(|c: char| c.is_ascii_uppercase());
    let got = dotenv::parse(text, is_ours).map(|assignments| {
        assignments.into_iter().map(|assignment| (assignment.name, assignment.value)).collect()
    });
    assert_eq!(got, wanted.map(owned).map_err(str::to_owned), "{text:?}");
}

#[test]
fn dotenv_files_are_read() {
    check_dotenv("", Ok(&[]));
    check_dotenv("# a comment\n\n  A=b  \r\nC=d", Ok(&[("A", "b"), ("C", "d")]));
    check_dotenv("export A=b", Ok(&[("A", "b")]));
    check_dotenv("A = b", Ok(&[("A", "b")]));
    check_dotenv("A=", Ok(&[("A", "")]));
    check_dotenv("A=b=c", Ok(&[("A", "b=c")]));
    check_dotenv("A=\"b c\" # said", Ok(&[("A", "b c")]));
    check_dotenv("A='b # c'", Ok(&[("A", "b # c")]));
    check_dotenv("A=b # c", Ok(&[("A", "b")]));
    check_dotenv("A=b#c", Ok(&[("A", "b#c")]));
    check_dotenv("A=\"\"", Ok(&[("A", "")]));
    // Of other programs: values of several lines, names of theirs, what a shell passes on.
    check_dotenv("A='b\r\nc' # d\nE=\"f\ng\"", Ok(&[("A", "b\nc"), ("E", "f\ng")]));
    check_dotenv("spring.name=x\nmy-name=y\nexport A\nexport  B=c", Ok(&[("B", "c")]));
    check_dotenv("A=1\nA=2", Ok(&[("A", "1"), ("A", "2")]));
}

#[test]
fn a_value_that_is_only_a_comment_is_empty() {
    check_dotenv("A= # optional", Ok(&[("A", "")]));
    check_dotenv("A=\t# optional", Ok(&[("A", "")]));
    check_dotenv("A=b\t# c", Ok(&[("A", "b")]));
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_name() {
    check_dotenv("\u{feff}A=b", Ok(&[("A", "b")]));
}

#[test]
fn a_line_of_a_dotenv_file_that_is_none_is_named() {
    check_dotenv("A=b\nNonsense", Err("line 2: it is not NAME=value"));
    check_dotenv("A b", Err("line 1: it is not NAME=value"));
    check_dotenv("A: b", Err("line 1: it is not NAME=value"));
    check_dotenv("A=\"b\nC=\"d\"", Err("line 1: the quote that A begins with is not closed"));
    check_dotenv("A B=c", Err("line 1: \"A B\" is not a variable's name"));
}

#[test]
fn what_only_another_program_reads_is_passed_over() {
    for other in [
        "foo",
        "foo bar",
        "foo: bar",
        "[section]",
        "; a comment",
        "set -a",
        "=b",
        "foo bar=c",
        "{\"A\": 1,",
        "  \"A\": 1}",
        "-----BEGIN",
    ] {
        check_dotenv(&format!("A=b\n{other}\nC=d"), Ok(&[("A", "b"), ("C", "d")]));
    }
    check_dotenv("x='tis so\nA=b\nC=\"d\"", Ok(&[("x", "tis so"), ("A", "b"), ("C", "d")]));
    check_dotenv("x=\"open", Ok(&[("x", "open")]));
}
