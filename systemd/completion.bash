# bash completion for penstock
_penstock() {
  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
  case $previous in
    -c | --config | --dir | --plugin-dir) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
  esac
  local words='run check version spool quarantine schema audit plugins --help'
  case ${COMP_WORDS[1]} in
    run | check) words='--config --plugin-dir --help' ;;
    spool) words='stat ls export import fsck repair --help' ;;
    quarantine) words='ls show export replay discard --help' ;;
    plugins) words='ls show test --help' ;;
    schema) words='fetch show sql --help' ;;
  esac
  [ "$COMP_CWORD" = 1 ] && words='run check version spool quarantine schema audit plugins --help'
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _penstock penstock
