"""Turn the arguments of a log call into a JSON entry, without threads and without I/O.

This room may import `_base`. Read the files in this order:

    factory           collects the fields of one log call in a dict
    message           finds the text of the message, and fields in the call's positional arguments
    log_fields        names and types of the fields that the API documents
    field_conversion  converts each field to its documented type: `app_user_id=5` becomes a text
    field_spellings   other spellings of documented names, such as `appUserId`
    timeline          the steps of a journey
    tracebacks        formats an exception as text
    encoding          turns the dict into bytes
    json_data, json_codecs    convert any value to plain JSON data; orjson or the module `json`
    object_parts      reads the fields and items of an object one by one
    object_fields     finds the fields that an object shows in its `repr`
    safe_text         finds the `str` or `repr` of any value and never raises an error
    redaction         masks secrets, such as the value of a key `password`
    trimming          cuts an entry that is too long
    readable_line     formats an entry as a line that people can read
"""
