//! Child processes: how a tool is started, stopped and heard. The only place that starts any.
//!
//! What must stay true: a tool inherits nothing but what its invocation says; it is the leader of its own
//! process group, and the whole group is gone when its [`Running`] is; its words are read all the time, so
//! that it never blocks on them; a secret reaches it by an environment variable or a private file.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use std::os::unix::process::ExitStatusExt;

use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::DumpError;
use crate::launcher;
use crate::private::PrivateFolder;
use crate::reach::{self, Reach};
use crate::redact::{Said, Tail};
use crate::tls::Authority;
use crate::tools::{Tools, path_variable};

/// The most that the answer to a query may be; far above the names of any server's databases.
const ANSWER_LIMIT: u64 = 16 * 1024 * 1024;

/// How long the last words of a tool may take to arrive after it has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What is to be started.
pub(crate) struct Invocation {
    /// The name of the tool in messages.
    pub tool: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    password: Option<SecretString>,
    password_variable: Option<&'static str>,
    option_file: Option<SecretString>,
    authority: Option<(AuthorityBy, Authority)>,
    script: Option<String>,
    token_file: Option<SecretString>,
    reach: Option<(Reach, Pin)>,
}

/// Whether a tool can be told which of the addresses of a name it is to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pin {
    /// By the variables of libpq.
    Libpq,
    /// It looks the name up by itself, once more.
    No,
}

/// How a tool is told where the certificates of authorities are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AuthorityBy {
    /// By an environment variable.
    Variable(&'static str),
    /// By an option, which ends in `=`.
    Option(&'static str),
}

impl Invocation {
    /// Makes an invocation without arguments.
    pub(crate) fn new(tool: &'static str, program: &Path) -> Self {
        Self {
            tool,
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            password: None,
            password_variable: None,
            option_file: None,
            authority: None,
            script: None,
            token_file: None,
            reach: None,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub(crate) fn args<T: Into<String>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds a variable to the environment, which is empty but for what every tool gets.
    #[must_use]
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Gives the password by an environment variable, and takes it out of the tool's words.
    #[must_use]
    pub(crate) fn password_by_variable(mut self, name: &'static str, password: &SecretString) -> Self {
        self.password = Some(password.clone());
        self.password_variable = Some(name);
        self
    }

    /// Gives an option file as the first argument, and takes the password in it out of the tool's words.
    #[must_use]
    pub(crate) fn password_by_option_file(mut self, password: &SecretString, file: SecretString) -> Self {
        self.password = Some(password.clone());
        self.option_file = Some(file);
        self
    }

    /// Tells the tool which authorities it is to accept, if any.
    #[must_use]
    pub(crate) fn authority(mut self, by: AuthorityBy, authority: Option<Authority>) -> Self {
        self.authority = authority.map(|authority| (by, authority));
        self
    }

    /// Gives a token by a private file, and takes it out of the tool's words.
    #[must_use]
    pub(crate) fn token_by_file(mut self, token: &SecretString) -> Self {
        self.password = Some(token.clone());
        self.token_file = Some(token.clone());
        self
    }

    /// Says where the tool will connect to, so that it is not started where it may not.
    #[must_use]
    pub(crate) fn reaches(mut self, reach: Reach, pin: Pin) -> Self {
        self.reach = Some((reach, pin));
        self
    }

    /// Gives a script in a private file, by the option that both programs called `sqlcmd` have for it.
    #[must_use]
    pub(crate) fn script(mut self, script: String) -> Self {
        self.script = Some(script);
        self
    }

    /// Returns the text of the option file, for tests.
    #[cfg(test)]
    pub(crate) fn option_file(&self) -> Option<&str> {
        self.option_file.as_ref().map(ExposeSecret::expose_secret)
    }

    /// Refuses a tool that would connect where it may not; returns the addresses that it may take.
    async fn admit(&self, tools: &Tools) -> Result<Vec<SocketAddr>, DumpError> {
        match &self.reach {
            Some((reach, _)) => reach.admit(tools).await,
            None => Ok(Vec::new()),
        }
    }

    /// Returns the command, with the folder that has to live as long as the process.
    #[expect(clippy::disallowed_methods, reason = "this is the one home of child processes")]
    fn command(&self, tools: &Tools, addresses: &[SocketAddr]) -> io::Result<(Command, PrivateFolder)> {
        let private = PrivateFolder::create()?;
        let mut command = match tools.launcher() {
            Some(program) => {
                let mut command = Command::new(program);
                command.args(launcher::arguments(std::process::id(), self.program.as_os_str()));
                command
            }
            None => Command::new(&self.program),
        };
        if let Some(text) = &self.option_file {
            let mut argument = std::ffi::OsString::from("--defaults-file=");
            argument.push(private.write_option_file(text)?);
            command.arg(argument);
        }
        let authority = match &self.authority {
            Some((by, Authority::File(path))) => Some((*by, path.clone())),
            Some((by, Authority::Text(text))) => Some((*by, private.write_authorities(text)?)),
            None => None,
        };
        if let Some((AuthorityBy::Option(name), path)) = &authority {
            let mut argument = std::ffi::OsString::from(name);
            argument.push(path);
            command.arg(argument);
        }
        command.args(&self.arguments);
        if let Some(token) = &self.token_file {
            command.arg("-P").arg(private.write_token(token)?);
        }
        if let Some(script) = &self.script {
            command.arg("-i").arg(private.write_script(script)?);
        }
        command
            .env_clear()
            .env("PATH", path_variable())
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", private.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(private.path())
            .process_group(0)
            .kill_on_drop(true);
        if let Some((AuthorityBy::Variable(name), path)) = &authority {
            command.env(name, path);
        }
        if let Some((reach, Pin::Libpq)) = &self.reach {
            command.envs(reach::of_libpq(reach.host(), addresses).into_iter().flatten());
        }
        if let (Some(variable), Some(password)) = (self.password_variable, &self.password) {
            command.env(variable, password.expose_secret());
        }
        Ok((command, private))
    }
}

impl fmt::Debug for Invocation {
    /// Shows what other users of the machine may see as well.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.environment {
            writeln!(f, "{name}={value}")?;
        }
        if let Some(name) = self.password_variable {
            writeln!(f, "{name}=***")?;
        }
        let authority = self.authority.as_ref().map(|(by, authority)| match authority {
            Authority::File(path) => (by, path.display().to_string()),
            Authority::Text(_) => (by, "(its own)".to_owned()),
        });
        if let Some((AuthorityBy::Variable(name), place)) = &authority {
            writeln!(f, "{name}={place}")?;
        }
        write!(f, "{}", self.program.display())?;
        if self.option_file.is_some() {
            write!(f, " --defaults-file=***")?;
        }
        if let Some((AuthorityBy::Option(name), place)) = &authority {
            write!(f, " {name}{place}")?;
        }
        self.arguments.iter().try_for_each(|argument| write!(f, " {argument:?}"))?;
        if self.token_file.is_some() {
            write!(f, " -P ***")?;
        }
        if self.script.is_some() { write!(f, " -i ***") } else { Ok(()) }
    }
}

/// How a tool ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It ended by itself, with this status.
    Exited(i32),
    /// It was killed by this signal.
    Killed(i32),
}

impl Ending {
    /// The ending of a tool that did what it was asked.
    pub(crate) const SUCCESS: Self = Self::Exited(0);
}

impl From<ExitStatus> for Ending {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, signal) => Self::Killed(signal.unwrap_or(0)),
        }
    }
}

/// A tool that runs. Dropping it kills it, and all that it has started.
pub(crate) struct Running {
    // The order is the order of dropping: the group dies before its leader is given to the reaper, and
    // the folder goes last.
    group: Group,
    child: Child,
    /// The input of the tool, if it was asked for.
    pub stdin: Option<ChildStdin>,
    /// The output of the tool, if it was asked for.
    pub stdout: Option<ChildStdout>,
    words: Words,
    _private: PrivateFolder,
}

impl Running {
    /// Starts a tool.
    pub(crate) async fn start(
        tools: &Tools,
        invocation: &Invocation,
        stdin: Stdio,
        stdout: Stdio,
    ) -> Result<Self, DumpError> {
        let local = |source| DumpError::Local { doing: "starting a database tool", source };
        let addresses = invocation.admit(tools).await?;
        let (mut command, private) = invocation.command(tools, &addresses).map_err(local)?;
        command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
        tracing::debug!(?invocation, "starting a tool");
        let mut child = spawn_on_lasting_thread(command).await.map_err(local)?;
        let group = Group { leader: child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) };
        let words = Words::listen(child.stderr.take(), invocation.password.as_ref());
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        Ok(Self { group, child, stdin, stdout, words, _private: private })
    }

    /// Waits for the end of the tool. Can be given up and called again.
    pub(crate) async fn ended(&mut self) -> Result<Ending, DumpError> {
        let status = self.child.wait().await;
        // Whatever the tool has started and left behind would keep our pipes open.
        self.group.kill();
        status
            .map(Ending::from)
            .map_err(|source| DumpError::Local { doing: "waiting for a database tool", source })
    }

    /// Returns the number of the process, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills the tool and all that it has started.
    pub(crate) fn kill(&mut self) {
        self.group.kill();
    }

    /// Returns the words of a tool that has ended.
    pub(crate) async fn said(&mut self) -> Said {
        self.words.said().await
    }
}

/// The answer to a query.
pub(crate) struct Output {
    /// How the tool ended.
    pub ending: Ending,
    /// What it wrote.
    pub stdout: String,
    /// What it said besides.
    pub said: Said,
}

/// Runs a tool to its end and returns what it wrote; for small answers.
pub(crate) async fn output(
    tools: &Tools,
    invocation: Invocation,
    limit: Duration,
) -> Result<Output, DumpError> {
    let run = async {
        let mut running = Running::start(tools, &invocation, Stdio::null(), Stdio::piped()).await?;
        let mut answer = Vec::new();
        if let Some(stdout) = running.stdout.take() {
            let mut stdout = stdout.take(ANSWER_LIMIT);
            let reading = stdout.read_to_end(&mut answer);
            tokio::pin!(reading);
            let ended = tokio::select! {
                read = &mut reading => {
                    read.map_err(|source| DumpError::Local { doing: "reading from a database tool", source })?;
                    None
                }
                ending = running.ended() => Some(ending?),
            };
            if ended.is_some() {
                reading
                    .await
                    .map_err(|source| DumpError::Local { doing: "reading from a database tool", source })?;
            }
        }
        let ending = running.ended().await?;
        let said = running.said().await;
        Ok(Output { ending, stdout: String::from_utf8_lossy(&answer).into_owned(), said })
    };
    match timeout(limit, run).await {
        Ok(result) => result,
        Err(_) => Err(DumpError::Timeout { tool: invocation.tool, after: limit }),
    }
}

/// The process group of a tool.
struct Group {
    leader: Option<Pid>,
}

impl Group {
    /// Kills every process of the group, once: later, the number may belong to somebody else.
    fn kill(&mut self) {
        if let Some(leader) = self.leader.take() {
            // The group may be gone already, which is what is wanted.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The ear for the words of a tool.
struct Words {
    tail: Arc<Mutex<Tail>>,
    listening: Option<JoinHandle<()>>,
}

impl Words {
    fn listen(stderr: Option<ChildStderr>, password: Option<&SecretString>) -> Self {
        let tail = Arc::new(Mutex::new(Tail::new(password)));
        let listening = stderr.map(|mut stderr| {
            let tail = Arc::clone(&tail);
            tokio::spawn(async move {
                let mut piece = [0; 4096];
                while let Ok(length @ 1..) = stderr.read(&mut piece).await {
                    tail.lock().unwrap_or_else(PoisonError::into_inner).push(&piece[..length]);
                }
            })
        });
        Self { tail, listening }
    }

    async fn said(&mut self) -> Said {
        if let Some(mut listening) = self.listening.take() {
            // A time limit or a panic in the listener only costs the last words.
            let _ = timeout(LAST_WORDS, &mut listening).await;
            listening.abort();
        }
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).said()
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

type Errand = Box<dyn FnOnce() + Send>;

/// Starts a process on a thread that lives as long as this program.
///
/// The death signal that the launcher asks for comes when the *thread* that started it ends, and threads of
/// a runtime come and go.
async fn spawn_on_lasting_thread(mut command: Command) -> io::Result<Child> {
    static THREAD: Mutex<Option<mpsc::Sender<Errand>>> = Mutex::new(None);
    let (answer, answered) = oneshot::channel();
    let runtime = Handle::current();
    let errand: Errand = Box::new(move || {
        let _inside = runtime.enter();
        // Nobody waits any more if the run was dropped: the child comes back here and dies by its drop.
        drop(answer.send(command.spawn()));
    });
    {
        let mut thread = THREAD.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = match thread.take() {
            Some(sender) => sender,
            None => start_thread()?,
        };
        let sent = sender.send(errand);
        *thread = Some(sender);
        sent.map_err(|_| io::Error::other("the thread that starts tools has ended"))?;
    }
    answered.await.unwrap_or_else(|_| Err(io::Error::other("the thread that starts tools has failed")))
}

fn start_thread() -> io::Result<mpsc::Sender<Errand>> {
    let (sender, errands) = mpsc::channel::<Errand>();
    thread::Builder::new().name("tool-starter".to_owned()).spawn(move || {
        for errand in errands {
            // A runtime that is shutting down makes the start panic; the thread has to outlive that.
            drop(catch_unwind(AssertUnwindSafe(errand)));
        }
    })?;
    Ok(sender)
}
