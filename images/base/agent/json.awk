# Reads one JSON document (RFC 8259) whose top level is an object or an array, checks all of its grammar, and
#   mode=calls  prints a shell call for each scalar: json PATH TYPE VALUE, all quoted, TYPE one of s n b z (null);
#   mode=copy   prints the document as it is.
# Exit 1: not JSON. The output before the error is not to be used.
#
# Records end at a quote, so a script of 256 KiB with thousands of escapes costs one pass and no growing copies. mawk,
# gawk and busybox awk agree on all that is used here. Run it with LC_ALL=C: bytes are bytes.

BEGIN {
  RS = "\""
  state = "value"
  depth = 0
  MAX_DEPTH = 64
  ESCAPES = "nrtbf/"
  PLAIN[1] = "\n"; PLAIN[2] = "\r"; PLAIN[3] = "\t"; PLAIN[4] = "\b"; PLAIN[5] = "\f"; PLAIN[6] = "/"
}

mode == "copy" { printf "%s%s", (NR > 1 ? "\"" : ""), $0 }

in_string {
  if ($0 ~ /[\001-\037]/) bad()
  length_ = length($0)
  slashes = 0
  while (slashes < length_ && substr($0, length_ - slashes, 1) == "\\") slashes++
  if (slashes % 2) {
    unescape(substr($0, 1, length_ - 1))
    out("\"")
  } else {
    unescape($0)
    end_string()
  }
  next
}

{
  structure($0)
  begin_string()
}

END {
  if (failed) exit 1
  # The last record opened no string: there was no quote after it.
  if (depth != 0 || !complete) exit 1
}

function bad() {
  failed = 1
  exit 1
}

function structure(text,   at, size, c) {
  size = length(text)
  for (at = 1; at <= size; at++) {
    c = substr(text, at, 1)
    if (c == " " || c == "\n" || c == "\t" || c == "\r") continue
    if (c == "{" || c == "[") open_(c)
    else if (c == "}") { if (state != "first-key" && !(state == "after" && kind[depth] == "{")) bad(); close_() }
    else if (c == "]") { if (state != "first-value" && !(state == "after" && kind[depth] == "[")) bad(); close_() }
    else if (c == ",") comma()
    else if (c == ":") { if (state != "colon") bad(); state = "value" }
    else at += literal(substr(text, at, 40)) - 1
  }
}

function open_(c) {
  if (state != "value" && state != "first-value") bad()
  if (complete || depth >= MAX_DEPTH) bad()
  prefix[depth + 1] = depth == 0 ? "" : path() "."
  depth++
  kind[depth] = c
  index_[depth] = 0
  state = c == "{" ? "first-key" : "first-value"
}

function close_() {
  depth--
  state = "after"
  if (depth == 0) complete = 1
}

function comma() {
  if (state != "after" || depth == 0) bad()
  index_[depth]++
  state = kind[depth] == "{" ? "key" : "value"
}

function path() {
  return prefix[depth] (kind[depth] == "{" ? key[depth] : index_[depth])
}

# A number or a word; returns its length.
function literal(text,   type) {
  if (depth == 0 || (state != "value" && state != "first-value")) bad()
  if (match(text, /^(true|false)/)) type = "b"
  else if (match(text, /^null/)) type = "z"
  else if (match(text, /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/)) type = "n"
  else bad()
  if (mode == "calls") printf "json %s %s %s\n", quoted(path()), type, quoted(substr(text, 1, RLENGTH))
  state = "after"
  if (substr(text, RLENGTH + 1, 1) ~ /[A-Za-z0-9.+-]/) bad()
  return RLENGTH
}

function begin_string() {
  if (complete) return
  if (depth == 0) bad()
  if (state == "key" || state == "first-key") {
    in_key = 1
    key[depth] = ""
  } else if (state == "value" || state == "first-value") {
    in_key = 0
    if (mode == "calls") printf "json %s s '", quoted(path())
  } else bad()
  in_string = 1
}

function end_string() {
  in_string = 0
  state = in_key ? "colon" : "after"
  if (!in_key && mode == "calls") printf "'\n"
}

function out(text) {
  if (in_key) key[depth] = key[depth] text
  else if (mode == "calls") {
    gsub(/'/, "'\\''", text)
    printf "%s", text
  }
}

function quoted(text) {
  gsub(/'/, "'\\''", text)
  return "'" text "'"
}

function unescape(text,   count, part, i, at, code, low) {
  count = split(text, part, "\\")
  if (count > 0) out(part[1])
  for (i = 2; i <= count; i++) {
    if (part[i] == "") {
      out("\\")
      if (++i <= count) out(part[i])
    } else if (at = index(ESCAPES, substr(part[i], 1, 1))) {
      out(PLAIN[at] substr(part[i], 2))
    } else {
      code = unit(part[i])
      if (code >= 55296 && code < 56320) {
        low = length(part[i]) == 5 ? unit(part[++i]) : 0
        if (low < 56320 || low > 57343) bad()
        code = 65536 + (code - 55296) * 1024 + low - 56320
      } else if (code >= 56320 && code < 57344) bad()
      out(utf8(code) substr(part[i], 6))
    }
  }
}

# The number of a \uXXXX. NUL is refused: no shell variable can hold it.
function unit(text,   i, digit, number) {
  if (text !~ /^u[0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f]/) bad()
  for (i = 2; i <= 5; i++) {
    digit = index("0123456789abcdef", tolower(substr(text, i, 1))) - 1
    number = number * 16 + digit
  }
  if (number == 0) bad()
  return number
}

function utf8(code) {
  if (code < 128) return sprintf("%c", code)
  if (code < 2048) return sprintf("%c%c", 192 + int(code / 64), 128 + code % 64)
  if (code < 65536)
    return sprintf("%c%c%c", 224 + int(code / 4096), 128 + int(code / 64) % 64, 128 + code % 64)
  return sprintf("%c%c%c%c", 240 + int(code / 262144), 128 + int(code / 4096) % 64, 128 + int(code / 64) % 64, 128 + code % 64)
}
