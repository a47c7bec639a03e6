//! The private parts of a command line: everything but what names the program, for passwords are
//! given in any place and form.

/// Programs that run what their first argument names, without the version in their name.
const INTERPRETERS: [&[u8]; 10] = [
    b"python", b"java", b"node", b"ruby", b"perl", b"php", b"bash", b"sh", b"deno", b"dotnet",
];

/// What such an argument ends with.
const PROGRAMS: [&[u8]; 15] = [
    b".py", b".pyz", b".jar", b".war", b".js", b".mjs", b".cjs", b".ts", b".rb", b".pl", b".php",
    b".sh", b".dll", b".lua", b".exs",
];

/// Replaces by `x` what does not name the program. Arguments are separated by NUL.
///
/// What stays: the first word of `argv[0]`; `-m` of Python and `-jar` of Java with what follows;
/// the first argument of an interpreter; arguments that end as a script, module or archive does.
/// Of the rest, the leading dashes stay.
pub(super) fn redact(args: &mut [u8]) {
    let mut interpreter = false;
    let mut python = false;
    let mut java = false;
    let mut next_is_program = false;
    for (place, arg) in args.split_mut(|byte| *byte == 0).enumerate() {
        if place == 0 {
            let end = arg
                .iter()
                .position(u8::is_ascii_whitespace)
                .unwrap_or(arg.len());
            let (program, rest) = arg.split_at_mut(end);
            rest.fill(b'x');
            let name = program
                .rsplit(|byte| *byte == b'/')
                .next()
                .unwrap_or_default();
            let version = name
                .iter()
                .rposition(|byte| !byte.is_ascii_digit() && *byte != b'.')
                .map_or(0, |last| last + 1);
            let name = &name[..version];
            interpreter = INTERPRETERS.contains(&name);
            python = name == b"python";
            java = name == b"java";
            continue;
        }
        let announces = (python && *arg == *b"-m") || (java && *arg == *b"-jar");
        let names = next_is_program
            || (place == 1 && interpreter)
            || PROGRAMS.iter().any(|suffix| arg.ends_with(suffix));
        next_is_program = announces;
        if announces || (names && is_plain(arg)) {
            continue;
        }
        for byte in arg.iter_mut().skip_while(|byte| **byte == b'-') {
            *byte = b'x';
        }
    }
}

/// Nothing but a path or a module could look like this.
fn is_plain(arg: &[u8]) -> bool {
    !arg.starts_with(b"-")
        && arg
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(byte))
}
