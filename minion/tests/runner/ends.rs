//! How commands end, with a runner that nobody disturbs.

use std::time::Duration;

use minion::runner::{CommandSpec, Shape};
use nix::{
    fcntl::{FcntlArg, FdFlag},
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid},
};
use relay_core::outcome::{MAX_BODY_BYTES, Outcome, Reason};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    Trial,
    scene::{body, is_dead, map, scene, shell},
};

pub const TRIALS: &[Trial] = &[
    ("output_comes_as_it_was_written", output_comes_as_it_was_written),
    ("many_at_once_do_not_mix", many_at_once_do_not_mix),
    ("streams_are_apart_in_a_map", streams_are_apart_in_a_map),
    ("exit_codes_and_signals_are_told", exit_codes_and_signals_are_told),
    ("what_cannot_start_says_why", what_cannot_start_says_why),
    ("surroundings_are_as_asked", surroundings_are_as_asked),
    ("what_is_returned_is_as_asked", what_is_returned_is_as_asked),
    ("exit_codes_count_as_asked", exit_codes_count_as_asked),
    ("it_runs_as_the_user_that_is_asked", it_runs_as_the_user_that_is_asked),
    ("nothing_of_the_minion_is_inherited", nothing_of_the_minion_is_inherited),
    ("huge_output_stays_small", huge_output_stays_small),
    ("endless_output_meets_the_run_limit", endless_output_meets_the_run_limit),
    ("the_run_limit_kills_the_whole_group", the_run_limit_kills_the_whole_group),
    ("a_timeout_is_salts", a_timeout_is_salts),
    ("the_background_is_left_alone", the_background_is_left_alone),
    ("an_end_is_written_as_soon_as_it_can_be", an_end_is_written_as_soon_as_it_can_be),
];

fn many_at_once_do_not_mix() {
    let scene = scene();
    let handles: Vec<_> = (0..24).map(|i| scene.launch(&shell(&format!("sleep 0.1; echo {i}")))).collect();
    for (i, handle) in handles.iter().enumerate().rev() {
        assert_eq!(body(&scene.wait(handle)), json!(i.to_string()));
    }
}

fn output_comes_as_it_was_written() {
    let answer = scene().run(&shell("echo a; echo b >&2; printf 'c\\n\\n'"));
    assert_eq!((answer.outcome, answer.retcode, body(&answer)), (Outcome::Ok, 0, json!("a\nb\nc")));
    assert_eq!((answer.reason, answer.truncated, answer.by_tier), (Reason::None, None, false));
}

fn streams_are_apart_in_a_map() {
    let answer = scene().run(&map(shell("echo $$; echo b >&2; exit 3")));
    let returned = body(&answer);
    assert_eq!((answer.outcome, answer.retcode), (Outcome::Failed, 3));
    assert_eq!(returned["pid"].to_string(), returned["stdout"].as_str().unwrap());
    assert_eq!((&returned["stderr"], &returned["retcode"]), (&json!("b"), &json!(3)));
    assert_eq!(
        returned.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["pid", "retcode", "stdout", "stderr"]
    );
}

fn exit_codes_and_signals_are_told() {
    for (script, outcome, retcode) in
        [("true", Outcome::Ok, 0), ("exit 255", Outcome::Failed, 255), ("kill -9 $$", Outcome::Failed, -9)]
    {
        let answer = scene().run(&shell(script));
        assert_eq!((answer.outcome, answer.retcode), (outcome, retcode), "{script}");
    }
}

fn what_cannot_start_says_why() {
    let no_program = CommandSpec { argv: vec!["/no/such/program".into()], ..shell("/no/such/program") };
    let no_dir = CommandSpec { cwd: Some("/no/such/dir".into()), ..shell("true") };
    let no_shell =
        CommandSpec { argv: vec!["/no/such/shell".into(), "-c".into(), "true".into()], ..shell("true") };
    let too_long = shell(&format!("true {}", "x".repeat(200_000)));
    let no_user = CommandSpec { runas: Some("no-such-user".into()), ..map(shell("true")) };
    for (spec, says) in [
        (no_program, "Unable to run command '/no/such/program'"),
        (no_shell, "The shell /no/such/shell is not available on this machine"),
        (too_long, "give long data by stdin="),
        (no_dir, "Specified cwd '/no/such/dir' either not absolute or does not exist"),
        (no_user, "'no-such-user' is not available"),
    ] {
        let answer = scene().run(&spec);
        assert_eq!((answer.outcome, answer.retcode), (Outcome::Failed, 1));
        assert!(body(&answer).as_str().unwrap().contains(says), "{}", body(&answer));
        assert!(answer.body.len() < 1_000, "a command of any length is not sent back");
    }
}

fn what_is_returned_is_as_asked() {
    let script = "echo out; echo err >&2; exit 3";
    for (shape, returned) in
        [(Shape::Stdout, json!("out")), (Shape::Stderr, json!("err")), (Shape::Retcode, json!(3))]
    {
        let answer = scene().run(&CommandSpec { shape, ..shell(script) });
        assert_eq!((answer.outcome, answer.retcode, body(&answer)), (Outcome::Failed, 3, returned));
    }
    let hidden = scene().run(&CommandSpec { hide_output: true, ..shell(script) });
    assert_eq!((hidden.retcode, body(&hidden)), (3, json!("")));
}

fn exit_codes_count_as_asked() {
    let script = "exit 3";
    let success = CommandSpec { success_retcodes: vec![2, 3], ..map(shell(script)) };
    let answer = scene().run(&success);
    assert_eq!((answer.outcome, answer.retcode, &body(&answer)["retcode"]), (Outcome::Ok, 0, &json!(0)));
    let ignored = scene().run(&CommandSpec { ignore_retcode: true, ..map(shell(script)) });
    assert_eq!((ignored.outcome, ignored.retcode, &body(&ignored)["retcode"]), (Outcome::Ok, 0, &json!(3)));
    let other = scene().run(&CommandSpec { success_retcodes: vec![2], ..shell(script) });
    assert_eq!((other.outcome, other.retcode), (Outcome::Failed, 3));
}

fn surroundings_are_as_asked() {
    let script = "pwd; echo $A $LC_ALL $RELAY_JID ${#RELAY_RUN}; cat; echo ${HOME-none}";
    let env = [("A".to_string(), "b c".to_string())].into();
    let spec = CommandSpec { cwd: Some("/usr".into()), env, clean_env: true, ..shell(script) };
    assert_eq!(body(&scene().run(&spec)), json!(format!("/usr\nb c C {} 32\nnone", spec.jid)));
    // More than a pipe holds, so that nobody's writing could block.
    let text = "x".repeat(200_000);
    let spec = CommandSpec { stdin: Some(text), umask: Some(0o027), ..shell("wc -c; umask") };
    assert_eq!(body(&scene().run(&spec)), json!("200000\n0027"));
}

fn it_runs_as_the_user_that_is_asked() {
    let run_as = |user: &str| {
        scene().run(&CommandSpec { runas: Some(user.into()), ..shell("id -un; id -G; echo $USER; exit 5") })
    };
    if Uid::effective().is_root() {
        let group = nix::unistd::User::from_name("nobody").unwrap().unwrap().gid;
        let answer = run_as("nobody");
        assert_eq!((answer.retcode, body(&answer)), (5, json!(format!("nobody\n{group}\nnobody"))));
    } else {
        assert!(body(&run_as("root")).as_str().unwrap().contains("only a minion that runs as root"));
    }
}

fn nothing_of_the_minion_is_inherited() {
    let held = std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // One that a careless parent left open over exec; 3 is the directory that `ls` reads.
    nix::fcntl::fcntl(&held, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let list = |dir: &str| CommandSpec { argv: vec!["ls".into(), dir.into()], ..shell("ls") };
    assert_eq!(body(&scene().run(&list("/proc/self/fd"))), json!("0\n1\n2\n3"));
    // Session, terminal and descriptors of the runner.
    let script = "set -- $(sed 's/.*) //' /proc/$PPID/stat); echo $(($4 == PPID)) $5; \
                  ls -l /proc/$PPID/fd | grep -c -e socket -e /Cargo.toml";
    assert_eq!(body(&scene().run(&shell(script))), json!("1 0\n0"));
    drop((held, socket));
}

fn huge_output_stays_small() {
    const BYTES: usize = 64 << 20;
    let script = format!("head -c {BYTES} /dev/zero | tr '\\0' x; grep VmHWM /proc/$PPID/status >&2");
    let answer = scene().run(&map(shell(&script)));
    let mut whole = Sha256::new();
    (0..BYTES >> 20).for_each(|_| whole.update([b'x'; 1 << 20]));
    let returned = body(&answer);
    let peak: u64 = returned["stderr"].as_str().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    let err = Sha256::digest(format!("{}\n", returned["stderr"].as_str().unwrap()));
    let output = Sha256::new().chain_update(whole.finalize()).chain_update(err).finalize();
    assert_eq!((answer.outcome, answer.truncated), (Outcome::Ok, Some(output.into())));
    assert!(answer.body.len() > MAX_BODY_BYTES / 2 && answer.body.len() <= MAX_BODY_BYTES);
    assert!(peak < 24 << 10, "the runner took {peak} KiB");
}

fn endless_output_meets_the_run_limit() {
    let spec = CommandSpec { run_limit: Duration::from_millis(500), ..shell("yes") };
    let answer = scene().run(&spec);
    assert_eq!((answer.outcome, answer.reason), (Outcome::TimedOut, Reason::None));
    assert!(answer.truncated.is_some() && answer.body.len() <= MAX_BODY_BYTES);
}

fn the_run_limit_kills_the_whole_group() {
    let scene = scene();
    let pids = scene.path("pids").display().to_string();
    let script = format!(
        "trap '' TERM; sleep 600 & echo $$ >> {pids}; echo $! >> {pids}; echo before; wait; sleep 600"
    );
    let answer = scene.run(&CommandSpec { run_limit: Duration::from_secs(1), ..shell(&script) });
    assert_eq!((answer.outcome, body(&answer)), (Outcome::TimedOut, json!("before")));
    assert!(scene.pids("pids", 2).into_iter().all(is_dead));
}

fn a_timeout_is_salts() {
    let timeout = Some(Duration::from_millis(500));
    let answer = scene().run(&CommandSpec { timeout, ..shell("echo so far; exec sleep 600") });
    let says = "echo so far; exec sleep 600 : Timed out after 0.5 seconds\nso far";
    assert_eq!((answer.outcome, answer.retcode, body(&answer)), (Outcome::Failed, 1, json!(says)));
}

fn the_background_is_left_alone() {
    let answer = scene().run(&shell("sleep 600 & echo $!"));
    let pid: i32 = body(&answer).as_str().unwrap().parse().unwrap();
    let lived = !is_dead(pid);
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    assert!(lived && answer.outcome == Outcome::Ok);
}

fn an_end_is_written_as_soon_as_it_can_be() {
    let scene = scene();
    let token = minion::runner::RunToken::random();
    let block = scene.run_dir(token).join("end.json.tmp").display().to_string();
    let script = format!("mkdir {block}; (sleep 1; rmdir {block}) > /dev/null 2>&1 & echo done");
    let handle = scene.runtime.block_on(scene.runner.launch(token, &shell(&script))).unwrap();
    assert_eq!(body(&scene.wait(&handle)), json!("done"));
}
