// Whose files are: what root makes for a service must be usable by the user the service runs as.
//
// Any thread. Only root can give files away: for other users these do nothing and call it good.
#pragma once

#include <filesystem>
#include <string>

namespace penstock {

// The nearest of `path` and the folders above it that is there, without symbolic links.
std::filesystem::path nearest_existing(const std::filesystem::path& path);

// Gives `made` and everything in it to the owner and group of `of`; links in it are not followed.
// False when something could not be given.
bool give_to_owner_of(const std::filesystem::path& of, const std::filesystem::path& made);

// "penstock", or "1001" where the user has no name.
std::string user_name(unsigned uid);

}  // namespace penstock
