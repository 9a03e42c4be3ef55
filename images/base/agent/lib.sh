# Shared by the agent, its guard and the image's init. POSIX sh; nothing here starts a process.

# Seconds of the monotonic clock, into $now.
read_now() {
  read -r now _ </proc/uptime
  now=${now%.*}
}

# Milliseconds of the monotonic clock, into $now_ms. /proc/uptime has hundredths; the 1 keeps 08 from being octal.
read_now_ms() {
  read -r now_ms _ </proc/uptime
  now_ms=$((${now_ms%.*} * 1000 + (1${now_ms#*.} - 100) * 10))
}

# One line of the story that a serial console tells, with the seconds since kernel start.
say() {
  read -r now_text _ </proc/uptime
  printf 'pitstop [%s] %s\n' "$now_text" "$*"
}

# Reads the session file. It is data, not a program: known keys and safe values only, the rest of it is left out.
read_session() {
  # What a broken archive leaves out must not make a machine stay.
  PITSTOP_LEASE_SECONDS=300 PITSTOP_DEADLINE_SECONDS=86400 PITSTOP_WAS_OFF=0 PITSTOP_MODE=active
  [ -r "$1" ] || return 1
  while IFS= read -r line || [ -n "$line" ]; do
    value=${line#*=\'}
    value=${value%\'}
    case $value in *[!A-Za-z0-9_.,:=/@+-]*) continue ;; esac
    case ${line%%=*} in
      PITSTOP_TLS_URL | PITSTOP_NONCE | PITSTOP_SESSION | PITSTOP_TARGET | PITSTOP_MODE | PITSTOP_PIN) ;;
      PITSTOP_LEASE_SECONDS | PITSTOP_DEADLINE_SECONDS | PITSTOP_WAS_OFF | PITSTOP_TIME) is_count "$value" || continue ;;
      *) continue ;;
    esac
    eval "${line%%=*}=\$value"
  done <"$1"
  [ -n "${PITSTOP_TLS_URL:-}" ] && [ -n "${PITSTOP_NONCE:-}" ]
}

# A decimal number of at most nine digits, so that no shell's arithmetic overflows, without a leading zero.
is_count() {
  case $1 in '' | *[!0-9]* | ??????????* | 0?*) return 1 ;; esac
}

# How this machine goes home, into $home_power.
read_home_power() {
  home_power=reboot
  [ "${PITSTOP_WAS_OFF:-0}" = 1 ] && home_power=off
  return 0
}
