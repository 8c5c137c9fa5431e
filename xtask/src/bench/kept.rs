//! Kept results as they lie in the repository: a line for each run of a scenario.
//!
//! The harness writes them (`loadtests/src/results.rs`); here they are only read.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

/// The form of lines that is understood.
const FORMAT: u32 = 1;

/// One run.
#[derive(Debug, Clone, Deserialize)]
pub struct Run {
    pub format: u32,
    pub scenario: String,
    pub machine: Machine,
    pub commit: String,
    pub ended: i64,
    pub took_s: f64,
    pub minions: u64,
    pub syndics: u64,
    pub rounds: u64,
    pub seed: u64,
    pub arguments: Vec<String>,
    pub notes: Vec<String>,
    pub figures: Vec<Figure>,
    #[serde(default)]
    pub series: Vec<Series>,
}

/// What it ran on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Machine {
    pub cores: u64,
    pub memory_mib: u64,
    pub kernel: String,
    pub cpu: String,
    pub disk: String,
}

/// One number. What could not be measured has no value.
#[derive(Debug, Clone, Deserialize)]
pub struct Figure {
    pub name: String,
    pub value: Option<f64>,
    pub unit: String,
    pub must: Option<f64>,
    pub aim: Option<f64>,
    pub better: Better,
    pub judged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    Lower,
    Higher,
}

/// One curve.
#[derive(Debug, Clone, Deserialize)]
pub struct Series {
    pub plot: String,
    pub name: String,
    pub x: String,
    pub y: String,
    pub points: Vec<(f64, f64)>,
}

impl Figure {
    /// In a word or two.
    pub fn verdict(&self) -> &'static str {
        let keeps = |bound: f64| match (self.value, self.better) {
            (None, _) => false,
            (Some(value), Better::Lower) => value <= bound,
            (Some(value), Better::Higher) => value >= bound,
        };
        match (self.must, self.aim) {
            (None, _) => "",
            (Some(_), _) if !self.judged => "not judged",
            (Some(must), _) if !keeps(must) => "**missed**",
            (_, Some(aim)) if keeps(aim) => "aim reached",
            _ => "kept",
        }
    }
}

/// The runs of each scenario, oldest first; scenarios by name.
///
/// # Errors
/// A file cannot be read, or a line of it is none.
pub fn all(dir: &Path) -> anyhow::Result<Vec<Vec<Run>>> {
    let entries = fs::read_dir(dir).with_context(|| {
        format!("{}: no results yet; the first comes from: cargo xtask bench fanout", dir.display())
    })?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|end| end == "jsonl"));
    files.sort();
    files
        .iter()
        .map(|file| runs(&fs::read_to_string(file)?).with_context(|| file.display().to_string()))
        .collect()
}

fn runs(text: &str) -> anyhow::Result<Vec<Run>> {
    let one = |(number, line): (usize, &str)| {
        let run: Run = serde_json::from_str(line).with_context(|| format!("line {}", number + 1))?;
        ensure!(run.format == FORMAT, "line {}: of format {}, not {FORMAT}", number + 1, run.format);
        Ok(run)
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(one).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A line as the harness writes it.
    pub(in crate::bench) const LINE: &str = r#"{"format":1,"scenario":"fanout","machine":{"cores":2,"memory_mib":24105,"kernel":"Linux 6.18","cpu":"some","disk":"ext4"},"commit":"abc","build":"release","ended":1795300000,"took_s":61.5,"minions":5000,"syndics":8,"accounted":5000,"rounds":20,"seed":7,"arguments":["--window","500"],"tiny":false,"notes":["how"],"figures":[{"name":"fanout_vs_floor","value":2.5,"unit":"ratio","must":3.0,"aim":2.0,"better":"lower","judged":true},{"name":"peer_vs_fabric","value":20.0,"unit":"ratio","must":30.0,"aim":100.0,"better":"higher","judged":true},{"name":"raw_ms","value":3.0,"unit":"ms","better":"lower","judged":false}],"series":[{"plot":"wall by minions","name":"median","x":"minions","y":"ms","points":[[500.0,20.0],[5000.0,200.0]]}]}"#;

    #[test]
    fn lines_are_read_and_other_formats_refused() {
        let read = runs(&format!("{LINE}\n\n{LINE}\n")).unwrap();
        assert_eq!((read.len(), read[0].minions, read[0].series.len()), (2, 5000, 1));
        let verdicts: Vec<&str> = read[0].figures.iter().map(Figure::verdict).collect();
        assert_eq!(verdicts, ["kept", "**missed**", ""]);
        let newer = LINE.replace(r#""format":1"#, r#""format":2"#);
        assert!(runs(&newer).unwrap_err().to_string().contains("format 2"));
        assert!(runs("{}").unwrap_err().to_string().contains("line 1"));
    }
}
