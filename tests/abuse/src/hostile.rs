//! What an attacker writes into a field: each text is one that broke somebody's software.

/// The name of a file that no attack may bring about, wherever it would lie.
pub const ESCAPED: &str = "escaped-by-abuse";
/// A line that an attacker would like to read in a log as if a daemon had written it.
pub const FORGED: &str = "FORGED-BY-ABUSE";

/// Traversal, injection into shells, options, SQL, terminals and logs, texts that are not what they seem. All valid UTF-8.
pub fn strings() -> Vec<String> {
    let mut all: Vec<String> = [
        // a11: paths
        "../../../../../../../../../../tmp/escaped-by-abuse",
        "..%2f..%2f..%2fescaped-by-abuse",
        "/tmp/escaped-by-abuse",
        "..\\..\\escaped-by-abuse",
        "./.././../escaped-by-abuse",
        "nul\0/../escaped-by-abuse",
        "\u{2024}\u{2024}/\u{ff0e}\u{ff0e}\u{2215}escaped-by-abuse",
        "con:.escaped-by-abuse",
        // a13: shells and options
        "$(touch /tmp/escaped-by-abuse)",
        "`touch /tmp/escaped-by-abuse`",
        "; touch /tmp/escaped-by-abuse #",
        "x\ntouch /tmp/escaped-by-abuse\n",
        "| touch /tmp/escaped-by-abuse",
        "' ; touch /tmp/escaped-by-abuse ; '",
        "-oProxyCommand=touch /tmp/escaped-by-abuse",
        "--upload-pack=touch /tmp/escaped-by-abuse",
        "ext::sh -c touch% /tmp/escaped-by-abuse",
        "--help",
        "-",
        "--",
        // a34: SQL
        "'; DROP TABLE jobs; --",
        "\" OR \"\"=\"",
        "x' UNION SELECT value FROM meta --",
        "%' OR 1=1 --",
        "\\'; DROP TABLE jobs; --",
        // logs and terminals
        "x\n2030-01-01T00:00:00.000000Z ERROR top-master/top FORGED-BY-ABUSE: owned",
        "x\r\nFORGED-BY-ABUSE",
        "\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[31mFORGED-BY-ABUSE",
        "\u{202e}gnp.exe",
        "\u{feff}\u{200b}",
        // forms, formats, templates
        "{{ 7*7 }}",
        "${jndi:ldap://127.0.0.1:1/x}",
        "%s%s%s%n",
        "{}{0}{:?}",
        "!!python/object/apply:os.system ['touch /tmp/escaped-by-abuse']",
        "*",
        "",
        " ",
        "\0",
        "\u{10ffff}\u{0}\u{fffd}",
        "null",
        "-1",
        "18446744073709551616",
        "{\"args\":[],\"kwargs\":{}}",
    ]
    .map(str::to_owned)
    .into();
    all.push("[".repeat(20_000));
    all.push("(".repeat(4_000) + &")".repeat(4_000));
    all.push(format!("{{{}", "\"a\":{".repeat(5_000)));
    all.push("é".repeat(70_000));
    all.push("E@(a*)*(b|c|d){1,1000}$ and ".repeat(100) + "x");
    all
}

/// The same as bytes, and bytes that are no text.
pub fn bytes() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = strings().into_iter().map(String::into_bytes).collect();
    all.push(vec![0xff; 33]);
    all.push(b"\xc0\xae\xc0\xae/escaped-by-abuse".to_vec());
    all.push(vec![0; 300 << 10]);
    all.push((0..=255).collect());
    all
}
