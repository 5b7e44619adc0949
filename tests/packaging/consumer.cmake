# A strict stranger: our headers are his warnings too.
target_compile_options(myapp PRIVATE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
set_target_properties(myapp PROPERTIES NO_SYSTEM_FROM_IMPORTED ON)
