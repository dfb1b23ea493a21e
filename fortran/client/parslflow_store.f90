!> The connection of the client, see parslflow_client.
module parslflow_store
  use, intrinsic :: iso_c_binding, only: c_char, c_double, c_f_pointer, c_int, c_int64_t, &
                                         c_null_ptr, c_ptr
  use parslflow_dataset, only: store_dataset
  use parslflow_errors, only: PF_OK
  use parslflow_text, only: addresses, c_text, c_texts, fortran_text, fortran_texts, &
                            store_text
  implicit none
  private

  real(c_double), parameter :: DEFAULT_TIME_LIMIT = 60 ! s

  !> A connection to the store, or what runs models in this process.
  type, public :: store_client
    private
    type(c_ptr) :: handle = c_null_ptr
  contains
    procedure :: connect
    procedure :: disconnect
    procedure :: message => client_message
    procedure :: set_data_source
    procedure :: put_tensor
    procedure :: get_tensor
    procedure :: delete_tensor
    procedure :: tensor_exists
    procedure :: key_exists
    procedure :: set_model_from_file
    procedure :: run_model
    procedure :: infer
    procedure :: put_dataset
    procedure :: append_to_list
    procedure :: put_dataset_to_list
    procedure :: get_dataset
    procedure :: list_length
    procedure :: get_list
  end type store_client

  interface
    function pf_connect(client, time_limit) bind(c) result(error)
      import :: c_double, c_int, c_ptr
      type(c_ptr), intent(inout) :: client
      real(c_double), value :: time_limit
      integer(c_int) :: error
    end function pf_connect

    subroutine pf_disconnect(client) bind(c)
      import :: c_ptr
      type(c_ptr), value :: client
    end subroutine pf_disconnect

    function pf_client_message(client) bind(c) result(text)
      import :: c_ptr
      type(c_ptr), value :: client
      type(c_ptr) :: text
    end function pf_client_message

    function pf_set_data_source(client, source) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client
      character(kind=c_char), intent(in) :: source(*)
      integer(c_int) :: error
    end function pf_set_data_source

    function pf_put_tensor(client, name, array) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client
      character(kind=c_char), intent(in) :: name(*)
      type(*), intent(in) :: array(..)
      integer(c_int) :: error
    end function pf_put_tensor

    function pf_get_tensor(client, name, array) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client
      character(kind=c_char), intent(in) :: name(*)
      type(*), intent(inout) :: array(..)
      integer(c_int) :: error
    end function pf_get_tensor

    function pf_delete_tensor(client, name) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client
      character(kind=c_char), intent(in) :: name(*)
      integer(c_int) :: error
    end function pf_delete_tensor

    function pf_tensor_exists(client, name, found) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client
      character(kind=c_char), intent(in) :: name(*)
      integer(c_int), intent(out) :: found
      integer(c_int) :: error
    end function pf_tensor_exists

    function pf_key_exists(client, key, found) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client
      character(kind=c_char), intent(in) :: key(*)
      integer(c_int), intent(out) :: found
      integer(c_int) :: error
    end function pf_key_exists

    function pf_set_model_from_file(client, name, path, device) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client
      character(kind=c_char), intent(in) :: name(*), path(*), device(*)
      integer(c_int) :: error
    end function pf_set_model_from_file

    function pf_run_model(client, name, input_count, inputs, output_count, outputs) bind(c) &
      result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client
      character(kind=c_char), intent(in) :: name(*)
      integer(c_int), value :: input_count, output_count
      type(c_ptr), intent(in) :: inputs(*), outputs(*)
      integer(c_int) :: error
    end function pf_run_model

    function pf_infer_array(client, model, input, output) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client
      character(kind=c_char), intent(in) :: model(*)
      type(*), intent(in) :: input(..)
      type(*), intent(inout) :: output(..)
      integer(c_int) :: error
    end function pf_infer_array

    function pf_put_dataset(client, dataset) bind(c) result(error)
      import :: c_int, c_ptr
      type(c_ptr), value :: client, dataset
      integer(c_int) :: error
    end function pf_put_dataset

    function pf_append_to_list(client, list, dataset) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client, dataset
      character(kind=c_char), intent(in) :: list(*)
      integer(c_int) :: error
    end function pf_append_to_list

    function pf_put_dataset_to_list(client, list, dataset) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client, dataset
      character(kind=c_char), intent(in) :: list(*)
      integer(c_int) :: error
    end function pf_put_dataset_to_list

    function pf_get_dataset(client, dataset, name) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client
      type(c_ptr), intent(inout) :: dataset
      character(kind=c_char), intent(in) :: name(*)
      integer(c_int) :: error
    end function pf_get_dataset

    function pf_list_length(client, list, length) bind(c) result(error)
      import :: c_char, c_int, c_int64_t, c_ptr
      type(c_ptr), value :: client
      character(kind=c_char), intent(in) :: list(*)
      integer(c_int64_t), intent(out) :: length
      integer(c_int) :: error
    end function pf_list_length

    function pf_get_list(client, list, count, names) bind(c) result(error)
      import :: c_char, c_int, c_int64_t, c_ptr
      type(c_ptr), value :: client
      character(kind=c_char), intent(in) :: list(*)
      integer(c_int64_t), intent(out) :: count
      type(c_ptr), intent(out) :: names
      integer(c_int) :: error
    end function pf_get_list

    subroutine c_free(memory) bind(c, name="free")
      import :: c_ptr
      type(c_ptr), value :: memory
    end subroutine c_free
  end interface

contains

  !> Connects to the store of the environment's SSDB; parslflow_client.h says what else is looked at.
  function connect(self, time_limit) result(error)
    class(store_client), intent(inout) :: self
    real(c_double), intent(in), optional :: time_limit
      !! of this call and each later one, s; 60 by default
    integer(c_int) :: error

    if (present(time_limit)) then
      error = pf_connect(self%handle, time_limit)
    else
      error = pf_connect(self%handle, DEFAULT_TIME_LIMIT)
    end if
  end function connect

  !> Closes the connection and gives the client's memory back.
  function disconnect(self) result(error)
    class(store_client), intent(inout) :: self
    integer(c_int) :: error

    call pf_disconnect(self%handle)
    self%handle = c_null_ptr
    error = PF_OK
  end function disconnect

  !> What went wrong in the latest call, with the key, the address and the likely cause.
  function client_message(self) result(text)
    class(store_client), intent(in) :: self
    character(len=:), allocatable :: text

    text = fortran_text(pf_client_message(self%handle))
  end function client_message

  !> Reads from another of the keyspaces in the environment's SSKEYIN, of which the first is read before.
  function set_data_source(self, source) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: source
    integer(c_int) :: error

    error = pf_set_data_source(self%handle, c_text(source))
  end function set_data_source

  function put_tensor(self, name, array) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: name
    type(*), intent(in) :: array(..)
    integer(c_int) :: error

    error = pf_put_tensor(self%handle, c_text(name), array)
  end function put_tensor

  function get_tensor(self, name, array) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: name
    type(*), intent(inout) :: array(..) !! of the tensor's type and shape; unchanged on errors
    integer(c_int) :: error

    error = pf_get_tensor(self%handle, c_text(name), array)
  end function get_tensor

  function delete_tensor(self, name) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: name
    integer(c_int) :: error

    error = pf_delete_tensor(self%handle, c_text(name))
  end function delete_tensor

  function tensor_exists(self, name, found) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: name
    logical, intent(out) :: found !! false on errors
    integer(c_int) :: error
    integer(c_int) :: c_found

    error = pf_tensor_exists(self%handle, c_text(name), c_found)
    found = c_found /= 0
  end function tensor_exists

  function key_exists(self, key, found) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: key !! the whole key, in whatever keyspace
    logical, intent(out) :: found !! false on errors
    integer(c_int) :: error
    integer(c_int) :: c_found

    error = pf_key_exists(self%handle, c_text(key), c_found)
    found = c_found /= 0
  end function key_exists

  function set_model_from_file(self, name, path, device) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: name
    character(len=*), intent(in) :: path !! of a TorchScript file
    character(len=*), intent(in) :: device !! CPU, GPU or GPU:n
    integer(c_int) :: error

    error = pf_set_model_from_file(self%handle, c_text(name), c_text(path), c_text(device))
  end function set_model_from_file

  function run_model(self, name, inputs, outputs) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: name !! key of the model
    character(len=*), intent(in) :: inputs(:), outputs(:) !! names of tensors
    integer(c_int) :: error
    character(len=len(inputs) + 1, kind=c_char), target :: input_texts(size(inputs))
    character(len=len(outputs) + 1, kind=c_char), target :: output_texts(size(outputs))

    input_texts = c_texts(inputs)
    output_texts = c_texts(outputs)
    error = pf_run_model(self%handle, c_text(name), size(inputs, kind=c_int), &
                         addresses(input_texts), size(outputs, kind=c_int), addresses(output_texts))
  end function run_model

  !> Runs a model on an array, where the environment's PARSLFLOW_INFERENCE says: in the store, in one
  !! round trip that leaves nothing there, or in this process.
  function infer(self, model, input, output) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: model
    type(*), intent(in) :: input(..)
    type(*), intent(inout) :: output(..) !! of the answer's type and shape; unchanged on errors
    integer(c_int) :: error

    error = pf_infer_array(self%handle, c_text(model), input, output)
  end function infer

  !> Writes the data set; it is not on any list.
  function put_dataset(self, dataset) result(error)
    class(store_client), intent(in) :: self
    type(store_dataset), intent(in) :: dataset
    integer(c_int) :: error

    error = pf_put_dataset(self%handle, dataset%handle)
  end function put_dataset

  !> Appends the data set's name to the list.
  function append_to_list(self, list, dataset) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: list
    type(store_dataset), intent(in) :: dataset
    integer(c_int) :: error

    error = pf_append_to_list(self%handle, c_text(list), dataset%handle)
  end function append_to_list

  !> Writes the data set and appends it to the list: on one server in one transaction.
  function put_dataset_to_list(self, list, dataset) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: list
    type(store_dataset), intent(in) :: dataset
    integer(c_int) :: error

    error = pf_put_dataset_to_list(self%handle, c_text(list), dataset%handle)
  end function put_dataset_to_list

  !> Gets a data set with all its tensors, in two round trips.
  function get_dataset(self, name, dataset) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: name
    type(store_dataset), intent(inout) :: dataset !! what it held is replaced; unchanged on errors
    integer(c_int) :: error

    error = pf_get_dataset(self%handle, dataset%handle, c_text(name))
  end function get_dataset

  !> How many data sets are on the list; none where there is no list.
  function list_length(self, list, length) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: list
    integer(c_int64_t), intent(out) :: length !! 0 on errors
    integer(c_int) :: error

    error = pf_list_length(self%handle, c_text(list), length)
  end function list_length

  !> The names of the data sets on the list, in the order of their appends.
  function get_list(self, list, names) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: list
    type(store_text), allocatable, intent(inout) :: names(:) !! not allocated on errors
    integer(c_int) :: error
    integer(c_int64_t) :: count
    type(c_ptr) :: block
    type(c_ptr), pointer :: found(:)

    if (allocated(names)) deallocate (names)
    error = pf_get_list(self%handle, c_text(list), count, block)
    if (error /= PF_OK) return
    call c_f_pointer(block, found, [count])
    names = fortran_texts(found)
    call c_free(block)
  end function get_list

end module parslflow_store
