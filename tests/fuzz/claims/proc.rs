//! Claims about the files of /proc, whatever a program puts into the parts that it chooses: its own name, the names of its
//! files and mappings, and those of control groups below its own.

use rsgen::procfs::{self, Group, Tree};

/// The text as a whole file, and as each of these names in a file that the kernel has written otherwise.
pub(crate) fn of_any_text(text: &str, numbers: [u64; 4]) {
    no_number_is_made_up(text);
    no_other_mapping_is_the_vdso(text);
    no_other_group_is_held(text);
    a_mapping_of_any_name_is_not_the_vdso(text, numbers);
    a_name_changes_nothing_behind_it(text, numbers);
    a_registration_is_that_of_its_socket(numbers);
    a_call_is_read_whole(numbers);
    a_neighbour_of_the_group_is_not_held(text);
}

fn no_number_is_made_up(text: &str) {
    if let Some(inode) = procfs::socket(text) {
        let digits = text["socket:[".len()..].trim_start_matches('0');
        assert!(inode == 0 || digits == format!("{inode}]"), "{text:?}");
    }
    assert!(procfs::flags(text).is_none_or(|flags| flags >= 0));
    if let Some((number, _)) = procfs::waiting(text) {
        let first = text.split_whitespace().next();
        let digits = first.map(|word| word.trim_start_matches('0'));
        assert!(number == 0 || digits == Some(&number.to_string()));
    }
    // Any text gives a state and a number, or nothing.
    let _ = (procfs::stat(text), procfs::parent(text));
    let _ = procfs::listeners(text);
    for line in text.split('\n') {
        let found = procfs::registration(line, 5, 0x61);
        assert!(found.is_none() || line.starts_with("tfd:"), "{line:?}");
    }
}

fn no_other_mapping_is_the_vdso(maps: &str) {
    if let Some((start, end)) = procfs::vdso(maps) {
        assert!(start < end);
        let mut lines = maps.split('\n');
        assert!(lines.any(|l| is_the_kernels(l, start, end)), "{maps:?}");
    }
}

/// Whether offset, device and inode are 0, which no mapping of a file has, and nothing is in front of the name.
fn is_the_kernels(line: &str, start: u64, end: u64) -> bool {
    let hex = |text| u64::from_str_radix(text, 16);
    let Some(words) = line.strip_suffix("[vdso]") else {
        return false;
    };
    let words: Vec<&str> = words.split(' ').filter(|w| !w.is_empty()).collect();
    let [place, "r-xp", "00000000", "00:00", "0"] = words[..] else {
        return false;
    };
    let place = place.split_once('-').map(|(a, b)| (hex(a), hex(b)));
    !line.contains('+') && place == Some((Ok(start), Ok(end)))
}

/// Mappings as `show_map_vma` of the kernel writes them: newlines are escaped, and the name of an anonymous mapping cannot have
/// some characters, see `is_valid_name_char`.
fn a_mapping_of_any_name_is_not_the_vdso(name: &str, [start, inode, ..]: [u64; 4]) {
    let (start, end) = (start >> 16, (start >> 16) + 0x2000);
    let path = name.replace('\n', "\\012");
    let given = name.replace(|c: char| !c.is_ascii_graphic() || r"\`$[]".contains(c), "");
    let mut maps = format!(
        "00001000-00002000 r-xp 00000000 fd:01 {inode}                    /{path}\n\
         00002000-00003000 r-xp 00000000 00:00 0                          /{path}\n\
         00003000-00004000 r-xp 00000000 00:00 0                          [anon:{given}]\n\
         00004000-00005000 r-xp 00000000 00:00 0 \n"
    );
    assert_eq!(procfs::vdso(&maps), None, "{maps}");
    maps.push_str(&a_vdso(start, end));
    assert_eq!(procfs::vdso(&maps), Some((start, end)), "{maps}");
}

fn a_vdso(start: u64, end: u64) -> String {
    format!("{start:08x}-{end:08x} r-xp 00000000 00:00 0                          [vdso]\n")
}

/// The kernel writes the name unchanged into `stat`, and escaped into `status`.
fn a_name_changes_nothing_behind_it(name: &str, [pid, parent, began, filters]: [u64; 4]) {
    let (pid, parent) = (pid >> 33, i32::try_from(parent >> 33).unwrap_or(0));
    let state = ['R', 'S', 'D', 'T', 't', 'Z', 'X', 'I'][usize::from(filters.to_ne_bytes()[0] % 8)];
    let stat = format!(
        "{pid} ({name}) {state} {parent} 7 7 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 {began} 9 9\n"
    );
    assert_eq!(procfs::stat(&stat), Some((state, began)), "{stat}");
    assert_eq!(procfs::parent(&stat), Some(parent), "{stat}");

    let name = name.replace('\\', "\\\\").replace('\n', "\\n");
    let status = format!(
        "Name:\t{name}\nState:\t{state} (x)\nTgid:\t{pid}\nTracerPid:\t{parent}\nSeccomp:\t2\nSeccomp_filters:\t{filters}\n"
    );
    for (key, value) in [
        ("Tgid:", pid.to_string()),
        ("TracerPid:", parent.to_string()),
        ("Seccomp:", "2".to_owned()),
        ("Seccomp_filters:", filters.to_string()),
    ] {
        assert_eq!(procfs::field(&status, key), Some(&*value), "{status}");
    }
}

/// A line that is cut off is read as the same registration, or not at all.
fn a_registration_is_that_of_its_socket([number, events, data, inode]: [u64; 4]) {
    let fd = i32::try_from(number >> 33).unwrap_or(0);
    let events = u32::try_from(events >> 32).unwrap_or(0);
    let line =
        format!("tfd: {fd:8} events: {events:8x} data: {data:16x}  pos:0 ino:{inode:x} sdev:8");
    let whole = procfs::registration(&line, fd, inode);
    assert_eq!(whole, Some((events, data)), "{line}");
    assert_eq!(procfs::registration(&line, fd ^ 1, inode), None);
    assert_eq!(procfs::registration(&line, fd, inode ^ 1), None);
    let cut = cut(&line, number);
    let found = procfs::registration(cut, fd, inode);
    assert!(found.is_none() || found == whole, "{cut}");
}

/// The first bytes of an ASCII text, but not all of it.
fn cut(text: &str, length: u64) -> &str {
    let length = usize::try_from(length).unwrap_or(0) % text.len();
    &text[..length]
}

fn a_call_is_read_whole([number, a, b, c]: [u64; 4]) {
    let number = i64::try_from(number >> 33).unwrap_or(0);
    let text = format!("{number} 0x{a:x} 0x{b:x} 0x{c:x} 0x{a:x} 0x{b:x} 0x{c:x} 0x7ffd 0x7f00\n");
    let whole = procfs::waiting(&text);
    assert_eq!(whole, Some((number, [a, b, c, a, b, c])), "{text}");
    let cut = cut(&text, a);
    let found = procfs::waiting(cut);
    assert!(found.is_none() || found == whole, "{cut}");
}

fn no_other_group_is_held(text: &str) {
    for tree in [Tree::Unified, Tree::Systemd] {
        let path = "/a/web@3.service".to_owned();
        let group = Group { tree, path };
        assert!(!group.holds(text) || is_in(&group, text), "{text:?}");
    }
    if let Some(group) = Group::of_unit(text, "web@3.service") {
        assert!(is_in(&group, text), "{text:?}");
        let last = group.path.rsplit('/').next();
        assert_eq!(last, Some("web@3.service"));
    }
}

/// Whether a line of the same hierarchy has the path of the group, or one below it.
fn is_in(group: &Group, text: &str) -> bool {
    let hierarchy = match group.tree {
        Tree::Unified => "::",
        Tree::Systemd => ":name=systemd:",
    };
    text.split('\n').any(|line| {
        line.split_once(hierarchy).is_some_and(|(number, path)| {
            let below = format!("{}/", group.path);
            !number.contains(':') && (path == group.path || path.starts_with(&below))
        })
    })
}

/// A group whose name only begins like that of the unit does not count. The kernel allows no newline in a name.
fn a_neighbour_of_the_group_is_not_held(name: &str) {
    let name = name.replace(['\n', '/'], "");
    let path = "/a/web@3.service".to_owned();
    let tree = Tree::Unified;
    let group = Group { tree, path };
    let places = |path: &str| {
        format!("12:memory:/a/web@3.service\n1:name=systemd:/a/web@3.service\n0::{path}\n")
    };
    assert!(group.holds(&places(&format!("/a/web@3.service/{name}"))));
    assert!(group.holds(&places("/a/web@3.service")));
    assert!(!group.holds(&places(&format!("/a/web@3.service{name}\r"))));
    if !name.is_empty() {
        for other in [
            format!("/a/web@3.service{name}"),
            format!("/{name}/a/web@3.service"),
            format!("/a/{name}web@3.service"),
        ] {
            assert!(!group.holds(&places(&other)), "{other:?}");
        }
    }
}
