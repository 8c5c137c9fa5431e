//! The tree as a picture, for people: Mermaid (shown by most places that show Markdown) or Graphviz.

use std::{collections::HashMap, fmt::Write as _};

use crate::{
    ids::TierId,
    topology::{Region, Syndic, Topology},
};

/// Which language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// `mermaid.js.org`
    Mermaid,
    /// `graphviz.org`
    Dot,
}

/// How texts go into one of the languages.
struct Words {
    quote: fn(&str) -> String,
    picture: Picture,
}

impl Topology {
    /// The tree as text in a picture's language. Ids only stand inside of quotes, so none of them means anything there.
    pub fn picture(&self, picture: Picture) -> String {
        let quote = match picture {
            Picture::Mermaid => mermaid_quoted,
            Picture::Dot => dot_quoted,
        };
        let words = Words { quote, picture };
        let names = self.names();
        let mut out = String::from(match picture {
            Picture::Mermaid => "flowchart BT\n",
            Picture::Dot => "digraph topology {\n  rankdir=BT;\n  node [shape=box];\n",
        });
        for top in &self.top_masters {
            words.item(&mut out, &names[&top.id], &[top.id.as_str(), &format!("top master, {}", top.region)]);
        }
        for (number, region) in self.regions.iter().enumerate() {
            words.region(&mut out, number, region, &names);
        }
        for (number, region) in self.regions.iter().enumerate() {
            words.arrows(&mut out, number, region, &names);
        }
        if picture == Picture::Dot {
            out.push_str("}\n");
        }
        out
    }

    /// A short name for each, that means nothing in any language: t0, t1, s0, s1.
    fn names(&self) -> HashMap<&TierId, String> {
        let tops = self.top_masters.iter().enumerate().map(|(i, t)| (&t.id, format!("t{i}")));
        let syndics = self.syndics().enumerate().map(|(i, (_, s))| (&s.id, format!("s{i}")));
        tops.chain(syndics).collect()
    }
}

impl Words {
    fn item(&self, out: &mut String, name: &str, lines: &[&str]) {
        let (quote, mermaid) = (self.quote, self.picture == Picture::Mermaid);
        let lines: Vec<String> = lines.iter().map(|line| quote(line)).collect();
        // Writing to a text does not fail.
        let _ = match mermaid {
            true => writeln!(out, "  {name}[\"{}\"]", lines.join("<br/>")),
            false => writeln!(out, "  {name} [label=\"{}\"];", lines.join("\\n")),
        };
    }

    fn region(&self, out: &mut String, number: usize, region: &Region, names: &HashMap<&TierId, String>) {
        let title = (self.quote)(&format!("{} ({})", region.name, region.provider));
        let _ = match self.picture {
            Picture::Mermaid => writeln!(out, "  subgraph r{number}[\"{title}\"]"),
            Picture::Dot => writeln!(out, "  subgraph cluster_r{number} {{\n  label=\"{title}\";"),
        };
        for syndic in &region.syndics {
            self.item(out, &names[&syndic.id], &[syndic.id.as_str(), &carries(syndic)]);
        }
        self.item(out, &format!("m{number}"), &[&format!("{} minions", region.minions.count)]);
        out.push_str(match self.picture {
            Picture::Mermaid => "  end\n",
            Picture::Dot => "  }\n",
        });
    }

    /// Arrows show who dials. Those of minions to standby syndics are dashed.
    fn arrows(&self, out: &mut String, number: usize, region: &Region, names: &HashMap<&TierId, String>) {
        for syndic in &region.syndics {
            self.arrow(out, &format!("m{number}"), &names[&syndic.id], syndic.standby);
            for parent in syndic.parents.iter().filter_map(|parent| names.get(parent)) {
                self.arrow(out, &names[&syndic.id], parent, false);
            }
        }
    }

    fn arrow(&self, out: &mut String, from: &str, to: &str, dashed: bool) {
        let _ = match (self.picture, dashed) {
            (Picture::Mermaid, false) => writeln!(out, "  {from} --> {to}"),
            (Picture::Mermaid, true) => writeln!(out, "  {from} -.-> {to}"),
            (Picture::Dot, false) => writeln!(out, "  {from} -> {to};"),
            (Picture::Dot, true) => writeln!(out, "  {from} -> {to} [style=dashed];"),
        };
    }
}

fn carries(syndic: &Syndic) -> String {
    match syndic.standby {
        true => format!("standby, carries {}", syndic.capacity),
        false => format!("carries {}", syndic.capacity),
    }
}

fn mermaid_quoted(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

fn dot_quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
