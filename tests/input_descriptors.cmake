# The descriptors of the inputs that are shipped, linked into a program instead of loaded: each under a name of its own,
# MODULE_plugin_descriptor, as the one name of the ABI can be there once only. For targets of the including folder.
function(penstock_add_input_descriptors target)
  foreach(input mqtt serial udp)
    set(source ${PROJECT_SOURCE_DIR}/plugins/${input}/plugin.cpp)
    target_sources(${target} PRIVATE ${source})
    set_source_files_properties(${source} PROPERTIES
      COMPILE_DEFINITIONS penstock_plugin_descriptor=${input}_plugin_descriptor)
    target_link_libraries(${target} PRIVATE penstock_input_${input}_parts)
  endforeach()
endfunction()
