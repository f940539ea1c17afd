# bash completion for penstock
_penstock() {
  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
  case $previous in
    -c | --config | --dir | --plugin-dir) return ;; # file names
  esac
  local words='run check version spool quarantine schema audit plugins --help'
  if [ "$COMP_CWORD" -gt 1 ]; then
    words='--help'
    case ${COMP_WORDS[1]} in
      run | check) words='--config --plugin-dir --help' ;;
    esac
  fi
  if [ "$COMP_CWORD" = 2 ]; then
    case ${COMP_WORDS[1]} in
      spool) words='stat ls export import fsck repair --help' ;;
      quarantine) words='ls show export replay discard --help' ;;
      plugins) words='ls show test --help' ;;
      schema) words='fetch show sql --help' ;;
    esac
  elif [ "$COMP_CWORD" -gt 2 ] && [[ $word != -* ]]; then
    return # file names
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
# What the function has no words for is a file name.
complete -o default -F _penstock penstock
