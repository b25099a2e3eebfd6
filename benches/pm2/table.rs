//! Prints tables as Markdown, for a document.

pub(crate) struct Row(Vec<String>);

impl Row {
    pub(crate) fn new(head: &str) -> Self {
        Self(vec![head.to_owned()])
    }

    pub(crate) fn cell(mut self, text: String) -> Self {
        self.0.push(text);
        self
    }
}

pub(crate) fn print(title: &str, heads: &[&str], rows: Vec<Row>) {
    println!("{title}:\n");
    let heads: Vec<String> = heads.iter().map(|&h| h.to_owned()).collect();
    line(&heads);
    line(&heads.iter().map(|_| "---".to_owned()).collect::<Vec<_>>());
    for Row(cells) in rows {
        line(&cells);
    }
    println!();
}

fn line(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}
