//! Reads the command line of an interpreter or launcher by a description of its options, up to
//! the argument that says what it runs.

/// What an option means for the question "what does this run".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing, and it has no value.
    Flag,
    /// Nothing, and it has a value: attached or the next argument.
    Value,
    /// Nothing; its value, if it has one, is attached (`-i.bak`).
    Attached,
    /// Its value is the service's name.
    Name,
    /// Its value is an Erlang node, `name@host`.
    Node,
    /// Its value is a module; what follows belongs to the module.
    Module,
    /// Its value is a module's class, `module/class` (Java).
    Class,
    /// Its value is a jar.
    Jar,
    /// Its value is a script.
    Script,
    /// Its value is an application, `module:attribute`.
    App,
    /// Its value is a .NET project or assembly.
    Assembly,
    /// Its value is the directory that the program works in.
    Directory,
    /// Its value is the address of a server of files: without a script, what it serves is the
    /// directory.
    Listen,
    /// Its value is code, or code comes from standard input: there is no name.
    Inline,
}

/// How options are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `-abc` is three options, `--word` is one (getopt).
    Letters,
    /// `-word` and `--word` are one option each (Java, Erlang).
    Words,
}

/// What the first argument that is no option names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A script.
    Script,
    /// A class, or a source file (Java).
    Class,
    /// A .NET assembly.
    Assembly,
    /// An application, `module:attribute`.
    App,
    /// Another program, with its arguments.
    Program,
    /// Nothing; the program is known by the directory that it works in.
    Directory,
    /// Nothing; only options tell, and the surest of them is not the first.
    Options,
}

/// An interpreter, virtual machine or launcher.
#[derive(Debug)]
pub(super) struct Runner {
    /// Which launchers it may run, and which interpreters run it.
    pub(super) family: &'static str,
    /// Base names, without the version.
    pub(super) names: &'static [&'static str],
    /// How its options are written.
    pub(super) style: Style,
    /// The options that matter; others are flags, or see `valued`.
    pub(super) options: &'static [(&'static str, Role)],
    /// Long options that are not listed take a value.
    pub(super) valued: bool,
    /// Words that may stand before the entry.
    pub(super) commands: &'static [&'static str],
    /// What the first other argument is.
    pub(super) entry: Entry,
}

/// What a command line says is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// It says the name itself.
    Name(&'a str),
    /// An Erlang node, `name@host`.
    Node(&'a str),
    /// A module, and what follows it.
    Module(&'a str, &'a [&'a str]),
    /// A script, and what follows it.
    Script(&'a str, &'a [&'a str]),
    /// A program, and what follows it.
    Program(&'a str, &'a [&'a str]),
    /// A jar.
    Jar(&'a str),
    /// A class, `module/class`, or a Java source file.
    Class(&'a str),
    /// A .NET assembly or project.
    Assembly(&'a str),
    /// An application.
    App(&'a str),
    /// The directory that it works in.
    Directory,
    /// It does not say.
    Nothing,
}

/// The answer of [`Runner::scan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scanned<'a> {
    /// What is run.
    pub(super) target: Target<'a>,
    /// Where, if the command line says so.
    pub(super) directory: Option<&'a str>,
}

impl Runner {
    /// Reads the arguments that follow the runner's own name.
    pub(super) fn scan<'a>(&self, args: &'a [&'a str]) -> Scanned<'a> {
        let mut scan = Scan {
            runner: self,
            args,
            at: 0,
            directory: None,
            first: None,
            command: false,
            argument_file: false,
        };
        let target = loop {
            match scan.step() {
                Step::Next => {}
                Step::Found(target) => break target,
                Step::End => {
                    break scan.first.unwrap_or(match self.entry {
                        Entry::Directory => Target::Directory,
                        _ => Target::Nothing,
                    });
                }
            }
        };
        Scanned {
            target,
            directory: scan.directory,
        }
    }

    fn role(&self, option: &str) -> Option<Role> {
        self.options
            .iter()
            .find(|(name, _)| *name == option)
            .map(|(_, role)| *role)
    }
}

enum Step<'a> {
    Next,
    Found(Target<'a>),
    End,
}

struct Scan<'r, 'a> {
    runner: &'r Runner,
    args: &'a [&'a str],
    at: usize,
    directory: Option<&'a str>,
    /// The answer, if nothing better follows.
    first: Option<Target<'a>>,
    /// One of `commands` has been passed.
    command: bool,
    /// `@file` has been passed: options that cannot be seen.
    argument_file: bool,
}

impl<'a> Scan<'_, 'a> {
    fn next(&mut self) -> Option<&'a str> {
        let arg = self.args.get(self.at).copied();
        self.at += 1;
        arg
    }

    fn rest(&self) -> &'a [&'a str] {
        self.args.get(self.at..).unwrap_or_default()
    }

    fn step(&mut self) -> Step<'a> {
        let Some(arg) = self.next() else {
            return Step::End;
        };
        let options_only = self.runner.entry == Entry::Options;
        if arg == "--" {
            if options_only {
                return Step::Next;
            }
            return match self.next() {
                Some(entry) => self.entry(entry),
                None => Step::End,
            };
        }
        if self.runner.style == Style::Words && arg.starts_with('@') && !options_only {
            self.argument_file = true;
            return Step::Next;
        }
        match arg.strip_prefix('-') {
            // Standard input.
            Some("") => Step::Found(Target::Nothing),
            Some(letters) if self.runner.style == Style::Letters && !letters.starts_with('-') => {
                self.letters(letters)
            }
            Some(_) => self.word(arg),
            None if arg.starts_with('+') && self.runner.family == "shell" => {
                self.letters(&arg[1..])
            }
            None => self.entry(arg),
        }
    }

    /// `-abc`, without the dash.
    fn letters(&mut self, letters: &'a str) -> Step<'a> {
        for (at, letter) in letters.char_indices() {
            let mut option = [b'-', 0, 0, 0, 0];
            let length = letter.encode_utf8(&mut option[1..]).len() + 1;
            let Ok(option) = std::str::from_utf8(&option[..length]) else {
                continue;
            };
            let attached = &letters[at + letter.len_utf8()..];
            match self.runner.role(option).unwrap_or(Role::Flag) {
                Role::Flag => {}
                Role::Attached => return Step::Next,
                role => return self.apply(role, (!attached.is_empty()).then_some(attached)),
            }
        }
        Step::Next
    }

    /// `--word`, `--word=value`, or in Java's way `-word`.
    fn word(&mut self, arg: &'a str) -> Step<'a> {
        let (option, attached) = match arg.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (arg, None),
        };
        let unknown = if self.runner.valued {
            Role::Value
        } else {
            Role::Flag
        };
        self.apply(self.runner.role(option).unwrap_or(unknown), attached)
    }

    fn apply(&mut self, role: Role, attached: Option<&'a str>) -> Step<'a> {
        if matches!(role, Role::Flag | Role::Attached) {
            return Step::Next;
        }
        if role == Role::Inline {
            return Step::Found(Target::Nothing);
        }
        let value = match attached {
            Some(value) => Some(value),
            None => self.next(),
        };
        let Some(value) = value.filter(|v| !v.is_empty()) else {
            return Step::Next;
        };
        let target = match role {
            Role::Flag | Role::Attached | Role::Inline | Role::Value => return Step::Next,
            Role::Directory => {
                self.directory = Some(value);
                return Step::Next;
            }
            Role::Listen => {
                self.first = Some(Target::Directory);
                return Step::Next;
            }
            Role::Name => return Step::Found(Target::Name(value)),
            Role::Node => return Step::Found(Target::Node(value)),
            Role::Module => Target::Module(value, self.rest()),
            Role::Script if value.starts_with('-') => return Step::Next,
            Role::Script => Target::Script(value, self.rest()),
            Role::Class => Target::Class(value),
            Role::Jar => Target::Jar(value),
            Role::App => Target::App(value),
            Role::Assembly => Target::Assembly(value),
        };
        if self.runner.entry == Entry::Options {
            self.first.get_or_insert(target);
            return Step::Next;
        }
        Step::Found(target)
    }

    /// The first argument that is no option.
    fn entry(&mut self, arg: &'a str) -> Step<'a> {
        if !self.command && self.runner.commands.contains(&arg) {
            self.command = true;
            return Step::Next;
        }
        match self.runner.entry {
            Entry::Script => Step::Found(Target::Script(arg, self.rest())),
            Entry::Program => Step::Found(Target::Program(arg, self.rest())),
            Entry::Assembly => Step::Found(Target::Assembly(arg)),
            Entry::App => Step::Found(Target::App(arg)),
            // The file may have held `-jar x`; then this is the program's own argument.
            Entry::Class if self.argument_file && !looks_like_class(arg) => {
                Step::Found(Target::Nothing)
            }
            Entry::Class => Step::Found(Target::Class(arg)),
            Entry::Directory | Entry::Options => Step::Next,
        }
    }
}

/// `com.shop.Orders`: a package in lower case, a class in upper case.
fn looks_like_class(arg: &str) -> bool {
    let Some((package, class)) = arg.rsplit_once('.') else {
        return false;
    };
    let identifier = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
    };
    class.starts_with(char::is_uppercase) && identifier(class) && package.split('.').all(identifier)
}
