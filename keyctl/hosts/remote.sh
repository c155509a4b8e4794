# What keyctl does with one file of a host that it reaches over ssh: POSIX shell, coreutils or busybox, nothing installed.
# It comes in over stdin, below a line that sets the arguments; behind it, on the same stdin, comes what a file is to hold.
# So nothing but a fixed line stands on a command line or in a log, and no key ever does.
#
# stdout: "keyctl NONCE begin", then one line "keyctl NONCE KIND ...", for KIND "file" the bytes of the file, then a last
# line "keyctl NONCE end". What a login shell printed before stands in front of it. Whatever ends this script early leaves
# the last line out, or says "failed" and the step; that of the file systems own words is on stderr.
LC_ALL=C
export LC_ALL
PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
umask 077
set -u
nonce=$1 verb=$2
shift 2
most=1048576
step=begin
temporary=
over=

say() { printf 'keyctl %s %s\n' "$nonce" "$*"; }
finish() {
  over=yes
  if [ -n "$temporary" ]; then rm -f -- "$temporary"; fi
  printf '\nkeyctl %s end\n' "$nonce"
  exit 0
}
answer() {
  say "$@"
  finish
}
failed() { answer failed "$step"; }
# The shell itself ends the script where it cannot open a file.
trap '[ -n "$over" ] || failed' EXIT
trap 'over=yes; [ -z "$temporary" ] || rm -f -- "$temporary"; exit 1' HUP INT TERM PIPE

need() {
  for tool; do
    command -v "$tool" >/dev/null 2>&1 || answer tool "$tool"
  done
}

# What stands at $1: found is "none" or its hash; size.
look() {
  tries=0
  while :; do
    step=look
    if ! seen=$(stat -c '%d:%i' -- "$1" 2>&1); then
      # Only this means that there is none: a directory that may not be entered hides its files.
      case $seen in *': No such file or directory')
        found=none
        return
        ;;
      esac
      printf '%s\n' "$seen" >&2
      failed
    fi
    [ ! -L "$1" ] || answer link
    [ -f "$1" ] || answer irregular
    step=open
    exec 3<"$1"
    opened=$(stat -L -c '%d:%i' /dev/fd/3) || failed
    [ "$opened" != "$seen" ] || break
    tries=$((tries + 1))
    [ "$tries" -lt 9 ] || failed
  done
  size=$(stat -L -c %s /dev/fd/3) || failed
  [ "$size" -le "$most" ] || answer large "$size"
  step=hashing
  sum=$(sha256sum <&3) || failed
  found=sha256:${sum%% *}
}

send() {
  exec 3<"$1"
  about=$(stat -L -c '%a %Y %Z' /dev/fd/3) || failed
  say file "$about" "$(date +%s)"
  step=send
  dd bs="$((most + 1))" count=1 status=none <&3
  finish
}

require() {
  look "$target"
  [ "$found" = "$expected" ] || answer changed "$found"
}

sync_path() {
  step=sync
  sync "$1" || failed
}

make_directories() {
  [ -n "$1" ] || return 0
  [ ! -d "$1" ] || return 0
  make_directories "${1%/*}"
  step=directory
  mkdir -m 700 -- "$1" || [ -d "$1" ] || failed
  sync_path "${1%/*}/"
}

# Owner, group, mode, label and access list of the target for the temporary; whatever cannot be kept stops the write.
keep_attributes() {
  step=attributes
  was=$(stat -c '%u:%g %a' -- "$target") || failed
  plain=$(printf '%o' "$((0${was#* } & 0777))")
  labels=
  [ ! -e /sys/fs/selinux/enforce ] || labels=,context
  case $(cp --help 2>&1) in
  *--attributes-only*)
    cp --attributes-only --preserve=mode,ownership"$labels" -- "$target" "$temporary" || failed
    ;;
  *)
    # Without that cp an access list or a label would be lost. A file that gives its group nothing has no list
    # that gives anybody anything: the group's bits are its mask.
    if [ -n "$labels" ] || [ "$((0$plain & 070))" != 0 ]; then answer tool 'cp --attributes-only'; fi
    chown "${was% *}" "$temporary" || failed
    ;;
  esac
  chmod "$plain" "$temporary" || failed
  [ "$(stat -c '%u:%g %a' -- "$temporary")" = "${was% *} $plain" ] || failed
  [ -z "$labels" ] || [ "$(stat -c %C -- "$temporary")" = "$(stat -c %C -- "$target")" ] || failed
}

# Rewrites the inode of the target from its start on, so that a cut leaves a beginning of what $1 holds.
overwrite() {
  step=overwrite
  case $(dd --help 2>&1) in
  *nofollow*) dd if="$1" of="$target" bs=65536 conv=nocreat,fsync oflag=nofollow status=none || failed ;;
  *) dd if="$1" of="$target" bs=65536 conv=fsync status=none || failed ;;
  esac
}

write() {
  expected=$1 in_place=$2 wanted=$3 mark=$4 limit=$5
  need stat sha256sum dd mv ln rm sync cp chown chmod mkdir date
  began=$(date +%s)
  require
  [ "$expected" != none ] || make_directories "$directory"
  step=temporary
  set -C
  exec 4>"$prefix$mark"
  set +C
  temporary=$prefix$mark
  # Where the directory gives its files an access list, no umask holds.
  chmod 600 -- "$temporary" || failed
  [ "$expected" = none ] || [ "$in_place" = yes ] || keep_attributes
  step=content
  dd bs=65536 conv=fsync status=none >&4 || failed
  exec 4>&-
  # What was cut off on its way is never put in place.
  sum=$(sha256sum <"$temporary") || failed
  [ "sha256:${sum%% *}" = "$wanted" ] || answer short
  [ "$(($(date +%s) - began))" -le "$limit" ] || answer late
  # Again: writing and syncing took a while, and whoever else edits this file has no lock of ours.
  require
  redo=
  if [ "$expected" = none ]; then
    step=linking
    # A link, unlike a rename, never replaces a file that came up meanwhile.
    if ! ln -T -- "$temporary" "$target"; then
      if [ -e "$target" ] || [ -L "$target" ]; then answer appeared; fi
      failed
    fi
  elif [ "$in_place" = yes ]; then
    step=copy
    redo=${prefix}redo-${expected#sha256:}
    mv -f -T -- "$temporary" "$redo" || failed
    temporary=
    sync_path "$directory/"
    overwrite "$redo"
  else
    step=rename
    mv -f -T -- "$temporary" "$target" || failed
    temporary=
  fi
  sync_path "$directory/"
  look "$target"
  [ "$found" = "$wanted" ] || answer other
  # The copy stays until here: the target may be torn, and only the copy tells what it was to hold.
  step=remove
  [ -z "$redo" ] || rm -f -- "$redo" || failed
  send "$target"
}

remove() {
  expected=$1
  need stat sha256sum rm sync
  require
  [ "$found" != none ] || answer changed none
  step=remove
  rm -f -- "$target" || failed
  sync_path "$directory/"
  answer removed
}

# Completes the rewrite of the target that $1 is the copy of, if it was cut off half-way; $2 is what it held before.
finish_rewrite() {
  look "$1"
  copy=$found
  look "$target"
  if [ "$found" = "$2" ] || [ "$found" = "$copy" ]; then return; fi
  step=hashing
  sum=$(head -c "$size" -- "$1" | sha256sum) || failed
  [ "sha256:${sum%% *}" = "$found" ] || answer torn "$1"
  overwrite "$1"
}

is_hex() {
  case $1 in
  *[!0-9a-f]*) return 1 ;;
  esac
  [ "${#1}" -eq "$2" ]
}

sweep() {
  need stat sha256sum dd rm head
  names=
  step=sweep
  if ! seen=$(stat -L -c %F -- "$directory/" 2>&1); then
    case $seen in *': No such file or directory') answer swept ;; esac
    printf '%s\n' "$seen" >&2
    failed
  fi
  # A directory that may be entered and not listed would look empty.
  if ! [ -r "$directory/" ]; then
    printf 'Permission denied\n' >&2
    failed
  fi
  for leftover in "$prefix"*; do
    suffix=${leftover#"$prefix"}
    if [ ! -e "$leftover" ] && [ ! -L "$leftover" ]; then continue; fi
    if is_hex "${suffix#redo-}" 64 && [ "$suffix" != "${suffix#redo-}" ]; then
      finish_rewrite "$leftover" "sha256:${suffix#redo-}"
    elif ! is_hex "$suffix" 16; then
      continue
    fi
    step=sweep
    rm -f -- "$leftover" || failed
    names="$names $suffix"
  done
  answer swept "$names"
}

free() {
  need stat
  step=free
  place=$directory
  while [ -n "$place" ] && [ ! -e "$place" ]; do place=${place%/*}; done
  blocks=$(stat -f -c '%a %S' -- "$place/") || failed
  answer free "$((${blocks% *} * ${blocks#* }))"
}

restart() {
  seconds=$1
  shift
  step=restart
  # Where there is no such program the command is bounded by nobody here, and keyctl stops waiting for it.
  if command -v timeout >/dev/null 2>&1; then set -- timeout -s KILL "$seconds" "$@"; fi
  status=0
  "$@" </dev/null >/dev/null 2>&1 || status=$?
  answer ended "$status"
}

say begin
case $verb in
restart) restart "$@" ;;
*)
  target=$1
  shift
  directory=${target%/*}
  prefix=$directory/.keyctl-${target##*/}.
  case $verb in
  read)
    need stat sha256sum dd date
    look "$target"
    [ "$found" != none ] || answer none
    send "$target"
    ;;
  write) write "$@" ;;
  remove) remove "$@" ;;
  sweep) sweep ;;
  free) free ;;
  esac
  ;;
esac
