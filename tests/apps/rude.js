// Prints what a terminal obeys, and dies: the clipboard, a cleared screen, one byte of C1, a carriage return, a line that
// runs backwards, and a priority of the journal's.
const { writeSync } = require('fs');
writeSync(2, 'rude \x1b]52;c;ZXZpbA==\x07\x1b[2J\u009b2J\r\x7f\u202ebackwards\n<5><0>forged\n');
process.exit(1);
