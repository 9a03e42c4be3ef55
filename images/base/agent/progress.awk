# The last line of a task's progress file, `PERCENT MESSAGE` with `-` for an unknown percentage, as the protocol's message.
# Run it with LC_ALL=C: a byte that is cut off is left out with the rest of its character.

{ line = $0 }

END {
  percent = "null"
  if (match(line, /^[0-9]+(\.[0-9]+)? */)) {
    if (line + 0 <= 100) percent = line + 0
    line = substr(line, RLENGTH + 1)
  } else if (match(line, /^- */)) line = substr(line, RLENGTH + 1)
  line = substr(line, 1, 1000)
  if (length(line) == 1000) sub(/[\300-\377][\200-\277]*$/, "", line)
  gsub(/[\001-\037\177]/, " ", line)
  gsub(/["\\]/, "\\\\&", line)
  printf "{\"message\":\"%s\",\"percent\":%s}", line, percent
}
