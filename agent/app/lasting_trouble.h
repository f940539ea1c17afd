// LastingTrouble: which troubles are to be said again. Each part says a trouble once, when it
// begins; a log that only goes back some hours would then not show it.
//
// Pure, one owner.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/base/clock.h"

namespace penstock::app {

struct Trouble {
  std::string who;   // as in the log: "lane/3 main.iot.t"
  std::string text;  // in its present words
};

class LastingTrouble {
 public:
  explicit LastingTrouble(Millis every) : every_(every) {}

  // `troubled`: all that are in trouble at `now`. Of those the ones that have been, at every look,
  // since they were said `every` ago.
  std::vector<Trouble> due(std::vector<Trouble> troubled, MonoTime now);
  // How often to look.
  Millis look_every() const;

 private:
  const Millis every_;
  std::map<std::string, MonoTime> said_;  // by who
};

}  // namespace penstock::app
